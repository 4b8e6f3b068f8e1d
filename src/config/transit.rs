//! What is told to servers outside the house goes there encrypted, and the server shows whose it is.

use jobs::reach;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{ConfigError, optional, secret};

/// The address of the ledger. Outside the house it is gone to with its certificate checked, whether the address says so
/// or only asks for TLS.
///
/// # Errors
/// It is not set; or it may go out in the clear.
pub fn database_url() -> Result<SecretString, ConfigError> {
    let address = secret("DATABASE_URL", "the address of the Postgres ledger")?;
    ledger(address, ["PGHOSTADDR", "PGHOST"].into_iter().find_map(optional))
}

/// The address of Redis.
///
/// # Errors
/// It is not set; or it goes out in the clear.
pub fn redis_url() -> Result<SecretString, ConfigError> {
    queue(secret("REDIS_URL", "the address of Redis")?)
}

/// Where it names no host, `unnamed` is gone to, or this machine.
fn ledger(address: SecretString, unnamed: Option<String>) -> Result<SecretString, ConfigError> {
    // what is no address is told of by whoever goes there
    let Ok(mut url) = Url::parse(address.expose_secret()) else { return Ok(address) };
    let (mode, rest): (Vec<_>, Vec<_>) =
        url.query_pairs().into_owned().partition(|(name, _)| name == "sslmode" || name == "ssl-mode");
    let named = rest.iter().rfind(|(name, _)| name == "host" || name == "hostaddr");
    let host = named.map_or_else(|| url.host_str().unwrap_or_default().to_owned(), |(_, host)| host.clone());
    let host = if host.is_empty() { unnamed.unwrap_or_default() } else { host };
    let is_socket = host.starts_with('/') || host.to_ascii_lowercase().starts_with("%2f");
    if is_socket || reach::is_in_house(&host) {
        return Ok(address);
    }
    if let Some(direct) = behind_pooler(&host) {
        return Err(ConfigError::new(
            "DATABASE_URL",
            format!(
                "{host} is a pooler, behind which each transaction may have another connection: the role and the workspace \
                 that one is bound to would reach somebody else's; accepted is the direct address, {direct}"
            ),
        ));
    }
    match mode.last().map(|(_, mode)| mode.as_str()) {
        Some("verify-full" | "verify-ca") => return Ok(address),
        None | Some("require") => {}
        Some(other) => {
            return Err(ConfigError::new(
                "DATABASE_URL",
                format!(
                    "found sslmode={other}, which may send everything in the clear to {host}; accepted there are verify-full, \
                     which it is without sslmode too, verify-ca, and require, which counts as verify-full"
                ),
            ));
        }
    }
    url.query_pairs_mut().clear().extend_pairs(rest).append_pair("sslmode", "verify-full");
    Ok(SecretString::from(String::from(url)))
}

/// The direct address of what is a pooler of Neon's by its name, which adds `-pooler` to the name of the server.
fn behind_pooler(host: &str) -> Option<String> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let (server, domain) = host.split_once('.')?;
    let server = server.strip_suffix("-pooler")?;
    let is_neons = domain == "neon.tech" || domain.ends_with(".neon.tech");
    is_neons.then(|| format!("{server}.{domain}"))
}

fn queue(address: SecretString) -> Result<SecretString, ConfigError> {
    let Ok(url) = Url::parse(address.expose_secret()) else { return Ok(address) };
    let host = url.host_str().unwrap_or_default();
    if reach::is_in_house(host) || (url.scheme() == "rediss" && url.fragment() != Some("insecure")) {
        return Ok(address);
    }
    let what = format!("it goes to {host} in the clear, or to whoever says that they are {host}");
    Err(ConfigError::new("REDIS_URL", format!("{what}; accepted outside a private network is rediss://")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(address: SecretString) -> Result<SecretString, ConfigError> {
        ledger(address, None)
    }

    fn gone_to(
        way: fn(SecretString) -> Result<SecretString, ConfigError>,
        address: &str,
    ) -> Result<String, String> {
        let gone = way(SecretString::from(address.to_owned()));
        gone.map(|url| url.expose_secret().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn in_the_house_an_address_stays_as_it_is() {
        // P-A6
        for address in [
            "postgres://a:b@localhost/postroom",
            "postgres://a@127.0.0.1:5433/postroom?sslmode=disable",
            "postgres://a@postgres.railway.internal:5432/railway",
            "postgres:///postroom?host=/run/postgresql",
            "postgres://%2Frun%2Fpostgresql/postroom",
            "postgres://a@db.example.com/postroom?host=10.0.0.7",
            "no address",
        ] {
            assert_eq!(gone_to(named, address), Ok(address.to_owned()));
        }
        for address in
            ["redis://localhost", "redis://default:x@redis.railway.internal:6379", "redis://cache:6379/0"]
        {
            assert_eq!(gone_to(queue, address), Ok(address.to_owned()));
        }
    }

    #[test]
    fn a_pooler_is_refused_and_the_direct_address_is_named() {
        let pooled = "postgres://a:b@ep-x-pooler.eu-central-1.aws.neon.tech/neondb?sslmode=require";
        let error = gone_to(named, pooled).expect_err("refused");
        assert!(error.starts_with("DATABASE_URL: ep-x-pooler."), "{error}");
        assert!(error.ends_with("ep-x.eu-central-1.aws.neon.tech") && !error.contains("a:b"), "{error}");
        for direct in
            ["ep-x.eu-central-1.aws.neon.tech", "ep-pooler-x.aws.neon.tech", "db-pooler.example.com"]
        {
            assert!(gone_to(named, &format!("postgres://a:b@{direct}/neondb")).is_ok(), "{direct}");
        }
    }

    #[test]
    fn outside_the_house_nothing_is_said_in_the_clear() {
        // P-A6, P-C5
        let neon = "postgres://a:b@ep-x.neon.tech/neondb";
        for address in
            [neon.to_owned(), format!("{neon}?sslmode=require"), format!("{neon}?ssl-mode=require")]
        {
            assert_eq!(gone_to(named, &address), Ok(format!("{neon}?sslmode=verify-full")));
        }
        let more = gone_to(named, &format!("{neon}?sslmode=require&channel_binding=prefer"));
        assert_eq!(more, Ok(format!("{neon}?channel_binding=prefer&sslmode=verify-full")));
        let authority = format!("{neon}?sslmode=verify-ca&sslrootcert=ca.pem");
        assert_eq!(gone_to(named, &authority), Ok(authority));
        for mode in ["disable", "allow", "prefer"] {
            let error = gone_to(named, &format!("{neon}?sslmode={mode}")).expect_err(mode);
            assert!(error.starts_with("DATABASE_URL: ") && error.contains("verify-full"), "{error}");
            assert!(!error.contains("a:b"), "no password: {error}");
        }
        let unnamed = |host: &str| {
            let gone = ledger(SecretString::from("postgres:///postroom"), Some(host.to_owned()));
            gone.expect("an address").expose_secret().to_owned()
        };
        assert_eq!(unnamed("db.example.com"), "postgres:///postroom?sslmode=verify-full");
        for host in ["/run/postgresql", "10.0.0.7", "localhost"] {
            assert_eq!(unnamed(host), "postgres:///postroom", "{host}");
        }
        let elsewhere = gone_to(named, "postgres://a@localhost/postroom?host=db.example.com");
        assert!(elsewhere.expect("an address").ends_with("sslmode=verify-full"));
        for address in [
            "redis://default:secret@cache.example.com:6379",
            "rediss://default:secret@cache.example.com/#insecure",
        ] {
            let error = gone_to(queue, address).expect_err(address);
            assert!(error.starts_with("REDIS_URL: ") && !error.contains("secret"), "{error}");
        }
        let encrypted = "rediss://default:x@cache.example.com:6379";
        assert_eq!(gone_to(queue, encrypted), Ok(encrypted.to_owned()));
    }
}
