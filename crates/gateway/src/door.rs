//! The door: who comes in (bearer token or, for looking only, HTTP Basic), and by which name of this machine.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cuiban_domain::ids::Actor;
use sha2::{Digest, Sha256};

use crate::config::{Config, InvalidConfig};
use crate::front::Front;
use crate::headers::{self, CUIBAN_ACTOR};
use crate::refusal::Refusal;

/// The tokens as hashes, so that comparing takes the same time whatever was sent.
#[derive(Debug)]
pub(crate) struct Door {
    known: Vec<([u8; 32], Actor)>,
    anonymous: Actor,
}

impl Door {
    pub(crate) fn new(config: &Config) -> Result<Self, InvalidConfig> {
        let known = config.tokens.actors()?;
        let known = known.into_iter().map(|(token, actor)| (hash(token), actor)).collect();
        let anonymous = Actor::new("anonymous")
            .map_err(|source| InvalidConfig::Actor { name: "anonymous".to_owned(), source })?;
        Ok(Self { known, anonymous })
    }

    /// Who sent this request. Without configured tokens everybody is who they say they are.
    pub(crate) fn actor(&self, method: &Method, sent: &HeaderMap) -> Result<Actor, Refusal> {
        if self.known.is_empty() {
            return match headers::one(sent, &CUIBAN_ACTOR)? {
                None => Ok(self.anonymous.clone()),
                Some(name) => Actor::new(name).map_err(|_| Refusal::InvalidHeader {
                    header: "Cuiban-Actor",
                    reason: "1 to 64 characters of A-Z a-z 0-9 _ -",
                }),
            };
        }
        let authorization = headers::one(sent, &header::AUTHORIZATION)?.ok_or(Refusal::Unauthenticated)?;
        let (scheme, credentials) = authorization.split_once(' ').ok_or(Refusal::Unauthenticated)?;
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.known_as(credentials, None);
        }
        // A browser can show the pages: name and token. It is never a way to give commands, which another
        // site could make a browser send.
        if scheme.eq_ignore_ascii_case("basic") && (method == Method::GET || method == Method::HEAD) {
            let decoded = STANDARD.decode(credentials).map_err(|_| Refusal::Unauthenticated)?;
            let decoded = String::from_utf8(decoded).map_err(|_| Refusal::Unauthenticated)?;
            let (name, token) = decoded.split_once(':').ok_or(Refusal::Unauthenticated)?;
            return self.known_as(token, Some(name));
        }
        Err(Refusal::Unauthenticated)
    }

    /// Looks at every known token, whichever fits.
    fn known_as(&self, token: &str, name: Option<&str>) -> Result<Actor, Refusal> {
        let sent = hash(token);
        let mut found = None;
        for (known, actor) in &self.known {
            let differs = known.iter().zip(&sent).fold(0, |differs, (a, b)| differs | (a ^ b));
            if differs == 0 {
                found = Some(actor);
            }
        }
        let found = found.filter(|actor| name.is_none_or(|name| name.is_empty() || name == actor.as_str()));
        found.cloned().ok_or(Refusal::Unauthenticated)
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Lets in whoever is known; the handlers find the [`Actor`] among the request's extensions.
pub(crate) async fn admit(State(front): State<Arc<Front>>, mut request: Request, next: Next) -> Response {
    match front.door.actor(request.method(), request.headers()) {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Where nobody says who they are, a page of another site must not reach us under a name of its own.
pub(crate) async fn by_own_name(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let foreign = front.door.known.is_empty() && host.is_some_and(|host| !is_own_name(host));
    if foreign { Refusal::ForeignHost.into_response() } else { next.run(request).await }
}

fn is_own_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn sent(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn guarded() -> Door {
        let tokens = [("a-long-enough-token", "li-si"), ("another-long-token", "wang-wu")];
        Door::new(&Config { tokens: tokens.into_iter().collect(), ..Config::default() }).unwrap()
    }

    #[test]
    fn a_token_stands_for_its_actor() {
        let actor = |value: &str| guarded().actor(&Method::POST, &sent(&[("authorization", value)]));
        assert_eq!(actor("Bearer another-long-token").unwrap().as_str(), "wang-wu");
        for wrong in
            ["Bearer another-long-tokem", "Bearer ", "Bearer", "Basic YW5vdGhlci1sb25nLXRva2Vu", "x y"]
        {
            assert_eq!(actor(wrong), Err(Refusal::Unauthenticated), "{wrong}");
        }
        assert_eq!(guarded().actor(&Method::POST, &sent(&[])), Err(Refusal::Unauthenticated));
        // Where tokens are needed, saying a name is not enough.
        assert_eq!(
            guarded().actor(&Method::POST, &sent(&[("cuiban-actor", "li-si")])),
            Err(Refusal::Unauthenticated)
        );
    }

    #[test]
    fn basic_credentials_are_for_looking_only() {
        let value = format!("Basic {}", STANDARD.encode("li-si:a-long-enough-token"));
        let sent = sent(&[("authorization", &value)]);
        assert_eq!(guarded().actor(&Method::GET, &sent).unwrap().as_str(), "li-si");
        assert_eq!(guarded().actor(&Method::POST, &sent), Err(Refusal::Unauthenticated));
    }

    #[test]
    fn without_tokens_everybody_is_who_they_say_they_are() {
        let open = Door::new(&Config::default()).unwrap();
        let actor = |pairs| open.actor(&Method::POST, &sent(pairs));
        assert_eq!(actor(&[]).unwrap().as_str(), "anonymous");
        assert_eq!(actor(&[("cuiban-actor", "zhang-san")]).unwrap().as_str(), "zhang-san");
        assert!(matches!(actor(&[("cuiban-actor", "a b")]), Err(Refusal::InvalidHeader { .. })));
    }

    #[test]
    fn names_of_this_machine_are_told_from_foreign_ones() {
        for own in ["localhost", "localhost:8080", "127.0.0.1:80", "[::1]:8080", "192.168.1.5:8080"] {
            assert!(is_own_name(own), "{own}");
        }
        for foreign in ["evil.example", "evil.example:8080", "localhost.evil.example", ""] {
            assert!(!is_own_name(foreign), "{foreign}");
        }
    }
}
