//! Where a request comes from: the address that is counted by and written down.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{Extensions, HeaderMap, request::Parts},
};
use url::Url;

use super::App;
use crate::{
    config::ClientAddress,
    ledger::audit::{Actor, Who},
};

/// Where a request comes from, as far as this process can tell.
#[derive(Debug, Clone, Copy)]
pub struct Whence(pub Option<IpAddr>);

impl Whence {
    /// What a deed from there is written down under while nobody is known to have done it.
    pub const fn who(self) -> Who {
        Who { actor: Actor::Nobody, address: self.0 }
    }

    /// What is counted by, as text: nothing where nobody knows it.
    pub fn counted(self) -> String {
        self.0.map(|address| counted(address).to_string()).unwrap_or_default()
    }
}

impl FromRequestParts<Arc<App>> for Whence {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        Ok(Self(address(app.house.web.client_address, &parts.headers, &parts.extensions)))
    }
}

/// What is wrong with counting by this where the outside sees that address, if anything.
pub fn doubt(by: ClientAddress, public_url: &Url) -> Option<&'static str> {
    // `web` speaks no TLS: what does stands in front, and every connection comes from there
    let behind = public_url.scheme() == "https" && by == ClientAddress::Socket;
    behind.then_some(
        "web.client_address: found socket, while PUBLIC_URL is https and so a proxy stands in front: everybody comes \
         from its address, shares one limit and is written down as it; accepted is x-real-ip or x-forwarded-for, \
         whichever the proxy sets",
    )
}

/// The address of whoever asks, as far as it can be believed. A header is read only where the settings say that a proxy
/// in front sets it; anybody may write one otherwise.
pub fn address(by: ClientAddress, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
    let header = |name: &str| headers.get_all(name).iter().next_back().and_then(|value| value.to_str().ok());
    let said = match by {
        ClientAddress::Socket => None,
        ClientAddress::XRealIp => header("x-real-ip"),
        // what stands last was written by the proxy next to us; what stands before it, by anybody
        ClientAddress::XForwardedFor => header("x-forwarded-for").and_then(|all| all.rsplit(',').next()),
    };
    let socket = || extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(it)| it.ip());
    let found = said.and_then(|text| text.trim().parse().ok()).or_else(socket);
    found.map(|address: IpAddr| address.to_canonical())
}

/// What is counted together: an address, or the network of one house where addresses are handed out by the million.
pub fn counted(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn asked(by: ClientAddress, headers: &[(&'static str, &'static str)]) -> Option<String> {
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::from(([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1], 7))));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        address(by, &map, &extensions).map(|it| it.to_string())
    }

    #[test]
    fn a_header_is_believed_only_where_a_proxy_sets_it() {
        use ClientAddress::{Socket, XForwardedFor, XRealIp};
        let forged = [("x-real-ip", "9.9.9.9"), ("x-forwarded-for", "9.9.9.9")];
        assert_eq!(asked(Socket, &forged).as_deref(), Some("127.0.0.1"));
        assert_eq!(asked(XRealIp, &[("x-real-ip", "8.8.8.8")]).as_deref(), Some("8.8.8.8"));
        assert_eq!(asked(XRealIp, &[("x-real-ip", "nobody")]).as_deref(), Some("127.0.0.1"));
        let chain = [("x-forwarded-for", "9.9.9.9"), ("x-forwarded-for", "9.9.9.9, 8.8.8.8")];
        assert_eq!(asked(XForwardedFor, &chain).as_deref(), Some("8.8.8.8"));
    }

    #[test]
    fn a_proxy_that_is_not_heeded_is_told() {
        let told = |by, url: &str| doubt(by, &url.parse().expect("an address")).is_some();
        assert!(told(ClientAddress::Socket, "https://post.example/"));
        assert!(!told(ClientAddress::Socket, "http://localhost:3000/"));
        assert!(!told(ClientAddress::XRealIp, "https://post.example/"));
        assert!(!told(ClientAddress::XForwardedFor, "https://post.example/"));
    }

    #[test]
    fn a_house_with_many_addresses_counts_as_one() {
        let [one, two, other]: [IpAddr; 3] =
            ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"].map(|it| it.parse().expect("one"));
        assert_eq!(counted(one), counted(two));
        assert_ne!(counted(one), counted(other));
    }
}
