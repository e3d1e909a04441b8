//! Tokens that are signed by HMAC with SHA-256, as RFC 7519 has them.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

fn mac(key: &str, signed: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
    mac.update(signed.as_bytes());
    Some(mac)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub fn sign(key: &str, mut claims: Value) -> Option<String> {
    claims["iat"] = json!(now());
    claims["exp"] = json!(now() + 3600);
    let signed = format!(
        "{}.{}",
        BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
        BASE64.encode(claims.to_string())
    );
    let signature = BASE64.encode(mac(key, &signed)?.finalize().into_bytes());
    Some(format!("{signed}.{signature}"))
}

pub fn decode(key: &str, token: &str) -> Result<Value, &'static str> {
    let (signed, signature) = token.rsplit_once('.').ok_or("no signature")?;
    let (header, claims) = signed.split_once('.').ok_or("no claims")?;
    let json = |part| {
        let bytes = BASE64.decode(part).map_err(|_| "no base64")?;
        serde_json::from_slice::<Value>(&bytes).map_err(|_| "no JSON")
    };
    if json(header)?["alg"] != "HS256" {
        return Err("another algorithm");
    }
    let signature = BASE64.decode(signature).map_err(|_| "no base64")?;
    let mac = mac(key, signed).ok_or("no key")?;
    mac.verify_slice(&signature).map_err(|_| "another signature")?;
    let claims = json(claims)?;
    if claims["exp"].as_u64().is_some_and(|exp| exp < now()) {
        return Err("expired");
    }
    Ok(claims)
}
