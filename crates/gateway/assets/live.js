// Tells the page that something happened: listens to /v1/live and raises `cuiban`, on which htmx draws anew.
(function () {
  "use strict";
  var body = document.body;
  var address = body.getAttribute("data-live");
  if (!address || !window.EventSource) return;
  var only = body.getAttribute("data-only");
  var source = new EventSource(address);
  function state(now) {
    var shown = document.getElementById("live-state");
    if (shown) shown.setAttribute("data-state", now);
  }
  function happened(event) {
    if (only) {
      try {
        if (JSON.parse(event.data).id !== only && event.type !== "organisation" && event.type !== "alert") return;
      } catch (_) { return; }
    }
    // The read models need a moment to fold what was just recorded.
    window.setTimeout(function () { body.dispatchEvent(new CustomEvent("cuiban")); }, 250);
  }
  ["ticket", "notice", "alert", "organisation"].forEach(function (name) {
    source.addEventListener(name, happened);
  });
  source.addEventListener("open", function () { state("on"); });
  source.addEventListener("error", function () { state("off"); });
})();
