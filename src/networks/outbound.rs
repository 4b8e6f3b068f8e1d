//! The only way out to an address that somebody has given us. It leads to the world, never into our own house: not by a
//! literal address, not by a name that resolves to one, not by a redirect, and not through a proxy.
//!
//! A name is resolved once for each connection, and what was judged is what is connected to: a name that means something
//! else a moment later gains nothing.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use jobs::reach;
use reqwest::{
    Client, Method, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HeaderMap, LOCATION},
};
use url::{Host, Url};

/// The most redirects that are followed, of a request that changes nothing.
const MOST_REDIRECTS: usize = 3;
/// The longest wait for a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The most that is read of an answer.
const MOST_BODY: usize = 1 << 20;
/// The most that is read of an answer of which nobody wants to know more than its status, and for how long.
const MOST_CHATTER: usize = 4 << 10;
const CHATTER_WITHIN: Duration = Duration::from_secs(1);

/// Why nothing was had.
#[derive(Debug, thiserror::Error)]
pub enum Barred {
    /// It is no address that one goes to from here.
    #[error("only https addresses without a user name are gone to")]
    Scheme,
    /// It leads into a house.
    #[error("the address is private: nothing outside has it")]
    Private,
    /// It leads on and on.
    #[error("it leads elsewhere more than {MOST_REDIRECTS} times")]
    TooFar,
    /// It did not answer, or not in time.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It says more than anybody wants to hear.
    #[error("its answer is larger than {MOST_BODY} bytes")]
    TooLarge,
}

/// What an address answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// What it said.
    pub body: Vec<u8>,
}

/// What an address answered of which nobody wants to know more.
#[derive(Debug)]
pub struct Told {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
}

/// Which addresses are gone to.
#[derive(Debug, Clone, Copy)]
struct Rules {
    reaches: fn(IpAddr) -> bool,
    plain: bool,
}

/// What goes out.
#[derive(Debug, Clone)]
pub struct Outbound {
    client: Client,
    rules: Rules,
}

impl Outbound {
    /// Builds the client.
    ///
    /// # Errors
    /// The machine has no certificates to trust.
    pub fn new() -> Result<Self, String> {
        Self::by(Rules { reaches: reach::is_public, plain: false })
    }

    /// The same, which goes inside the house too, and without TLS: for development and tests only.
    ///
    /// # Errors
    /// The machine has no certificates to trust.
    pub fn anywhere() -> Result<Self, String> {
        Self::by(Rules { reaches: |_| true, plain: true })
    }

    fn by(rules: Rules) -> Result<Self, String> {
        let client = Client::builder()
            .dns_resolver(Guard(rules.reaches))
            // a proxy would resolve the name by itself, and nobody would look at what it found
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_WITHIN)
            .user_agent(concat!("postroom/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|error| format!("no HTTP client: {}", error.without_url()))?;
        Ok(Self { client, rules })
    }

    /// Sends a request, and follows where a GET is led. What changes something is sent once and led nowhere.
    ///
    /// # Errors
    /// The address, or one that it leads to, is not gone to; or it does not answer in time.
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Answer, Barred> {
        let going = self.go(method, url.clone(), headers, body);
        let late = |_| Barred::Unreachable("no answer in time".to_owned());
        tokio::time::timeout(within, going).await.map_err(late)?
    }

    /// Sends something, once, and is led nowhere. What is said to it is read no further than lets the connection end well.
    ///
    /// # Errors
    /// The address is not gone to, or does not answer in time.
    pub async fn tell(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Told, Barred> {
        self.judge(url)?;
        let sending = self.client.post(url.clone()).headers(headers).body(body).send();
        let late = |_| Barred::Unreachable("no answer in time".to_owned());
        let mut response = tokio::time::timeout(within, sending).await.map_err(late)?.map_err(unreachable)?;
        // its status is its answer, however long it goes on
        if tokio::time::timeout(CHATTER_WITHIN, chatter(&mut response)).await.is_err() {
            tracing::debug!("an answer went on for longer than anybody listens");
        }
        Ok(Told { status: response.status(), headers: response.headers().clone() })
    }

    async fn go(
        &self,
        method: Method,
        mut url: Url,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, Barred> {
        for _ in 0..=MOST_REDIRECTS {
            self.judge(&url)?;
            let request = self.client.request(method.clone(), url.clone());
            let sent = request.headers(headers.clone()).body(body.clone()).send().await;
            let response = sent.map_err(unreachable)?;
            match led(&url, response.status(), response.headers()).filter(|_| method == Method::GET) {
                Some(next) => url = next,
                None => return read(response).await,
            }
        }
        Err(Barred::TooFar)
    }

    /// What can be seen of an address before anybody is asked. The resolver is not asked for a literal one.
    fn judge(&self, url: &Url) -> Result<(), Barred> {
        let scheme = url.scheme() == "https" || (self.rules.plain && url.scheme() == "http");
        if !scheme || !url.username().is_empty() || url.password().is_some() {
            return Err(Barred::Scheme);
        }
        let literal = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::from(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::from(ip)),
            Some(Host::Domain(name)) => name.trim_end_matches('.').parse().ok(),
            None => return Err(Barred::Scheme),
        };
        if literal.is_some_and(|ip| !(self.rules.reaches)(ip)) {
            return Err(Barred::Private);
        }
        Ok(())
    }
}

/// Where an answer leads, if anywhere.
fn led(from: &Url, status: StatusCode, headers: &HeaderMap) -> Option<Url> {
    let leads = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let to = headers.get(LOCATION).filter(|_| leads)?.to_str().ok()?;
    from.join(to).ok()
}

async fn read(mut response: reqwest::Response) -> Result<Answer, Barred> {
    let (status, mut body) = (response.status(), Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MOST_BODY {
            return Err(Barred::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body })
}

/// Reads on to the end of an answer, or until it is more than anybody wants to hear.
async fn chatter(response: &mut reqwest::Response) {
    let mut heard = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        heard += chunk.len();
        if heard > MOST_CHATTER {
            return;
        }
    }
}

/// An error without the address, which may hold what only its owner should know.
fn unreachable(error: reqwest::Error) -> Barred {
    let error = error.without_url();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(it) = cause {
        if it.is::<Inside>() {
            return Barred::Private;
        }
        cause = it.source();
    }
    Barred::Unreachable(error.to_string())
}

/// A name leads into a house.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to a private address")]
struct Inside;

/// Resolves names, and gives nothing of one of whose addresses any is private: who mixes them means no good.
struct Guard(fn(IpAddr) -> bool);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let reaches = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().any(|it| !reaches(it.ip())) {
                return Err(Inside.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    async fn get(outbound: &Outbound, url: &str) -> Result<Answer, Barred> {
        let url = Url::parse(url).expect(url);
        outbound.send(Method::GET, &url, HeaderMap::new(), Vec::new(), SOON).await
    }

    /// As if 127.0.0.1 were the world, and everything else a house.
    fn small_world() -> Outbound {
        let rules = Rules { reaches: |ip| ip == IpAddr::from([127, 0, 0, 1]), plain: true };
        Outbound::by(rules).expect("a client")
    }

    /// Answers every request with this, and counts them.
    async fn serve(ip: &str, answer: impl Fn(usize) -> String + Send + 'static) -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind((ip, 0)).await.expect("listens");
        let (port, asked) =
            (listener.local_addr().expect("an address").port(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let said = answer(counted.fetch_add(1, Ordering::SeqCst));
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(said.as_bytes()).await;
            }
        });
        (port, asked)
    }

    fn leading(to: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }

    fn saying(what: &str) -> String {
        let length = what.len();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{what}")
    }

    #[tokio::test]
    async fn no_literal_address_of_a_house_is_gone_to_in_any_spelling() {
        let outbound = Outbound::new().expect("a client");
        for url in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[64:ff9b:1::7f00:1]/",
            "https://100.64.0.1/",
            "https://169.254.1.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://[fd00:ec2::254]/latest/meta-data/",
            "https://[fe80::1]/",
            "https://[::1]/",
            "https://10.0.0.1:8443/",
        ] {
            let barred = get(&outbound, url).await.expect_err(url);
            assert!(matches!(barred, Barred::Private), "{url}: {barred}");
        }
        for url in
            ["http://example.org/", "ftp://example.org/", "https://user:secret@example.org/", "file:///etc"]
        {
            let barred = get(&outbound, url).await.expect_err(url);
            assert!(matches!(barred, Barred::Scheme), "{url}: {barred}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_into_a_house_is_not_gone_to() {
        let outbound = Outbound::by(Rules { reaches: reach::is_public, plain: true }).expect("a client");
        let (port, asked) = serve("127.0.0.1", |_| saying("secret")).await;
        for url in [format!("http://localhost:{port}/"), format!("https://localhost:{port}/")] {
            let barred = get(&outbound, &url).await.expect_err(&url);
            assert!(matches!(barred, Barred::Private), "{url}: {barred}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody was asked");
    }

    #[tokio::test]
    async fn where_it_is_led_is_judged_like_where_it_went() {
        let (inside, asked) = serve("127.0.0.2", |_| saying("secret")).await;
        for to in [
            format!("http://127.0.0.2:{inside}/"),
            format!("http://[::ffff:127.0.0.2]:{inside}/"),
            format!("//127.0.0.2:{inside}/"),
            "file:///etc/passwd".to_owned(),
        ] {
            let (port, _) = serve("127.0.0.1", move |_| leading(&to)).await;
            let barred = get(&small_world(), &format!("http://127.0.0.1:{port}/")).await.expect_err("barred");
            assert!(matches!(barred, Barred::Private | Barred::Scheme), "{barred}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody inside was asked");
    }

    #[tokio::test]
    async fn it_is_led_three_times_and_no_further_and_what_changes_something_not_at_all() {
        let outbound = small_world();
        for (redirects, good) in [(3, true), (4, false)] {
            let answer = move |n| if n < redirects { leading("/on") } else { saying("there") };
            let (port, asked) = serve("127.0.0.1", answer).await;
            let got = get(&outbound, &format!("http://127.0.0.1:{port}/")).await;
            match got {
                Ok(answer) => assert!(good && answer.body == b"there"),
                Err(barred) => assert!(!good && matches!(barred, Barred::TooFar), "{barred}"),
            }
            assert_eq!(asked.load(Ordering::SeqCst), 4);
        }
        let (port, asked) = serve("127.0.0.1", |_| leading("/on")).await;
        let url = Url::parse(&format!("http://127.0.0.1:{port}/")).expect("an address");
        let sent = outbound.send(Method::POST, &url, HeaderMap::new(), b"x".to_vec(), SOON).await;
        assert_eq!((sent.expect("an answer").status, asked.load(Ordering::SeqCst)), (StatusCode::FOUND, 1));
    }

    #[tokio::test]
    async fn an_answer_without_end_is_not_read_to_its_end() {
        let (port, _) = serve("127.0.0.1", |_| saying(&"x".repeat(MOST_BODY + 1))).await;
        let barred = get(&small_world(), &format!("http://127.0.0.1:{port}/")).await.expect_err("too much");
        assert!(matches!(barred, Barred::TooLarge), "{barred}");
    }

    async fn tell(outbound: &Outbound, url: &str) -> Result<Told, Barred> {
        let url = Url::parse(url).expect(url);
        outbound.tell(&url, HeaderMap::new(), b"x".to_vec(), SOON).await
    }

    #[tokio::test]
    async fn who_is_told_something_is_led_nowhere_and_listened_to_for_a_moment() {
        let (port, asked) = serve("127.0.0.1", |_| leading("/on")).await;
        let told = tell(&small_world(), &format!("http://127.0.0.1:{port}/")).await.expect("an answer");
        assert_eq!((told.status, asked.load(Ordering::SeqCst)), (StatusCode::FOUND, 1));
        let endless = |_| "HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n".to_owned() + &"x".repeat(9_000);
        let (port, _) = serve("127.0.0.1", endless).await;
        let told = tell(&small_world(), &format!("http://127.0.0.1:{port}/")).await.expect("an answer");
        assert_eq!(told.status, StatusCode::OK, "its status was its answer");
        let outbound = Outbound::new().expect("a client");
        for url in ["https://127.0.0.1/", "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/"] {
            assert!(matches!(tell(&outbound, url).await, Err(Barred::Private)), "{url}");
        }
        assert!(matches!(tell(&outbound, "http://example.org/").await, Err(Barred::Scheme)));
    }

    #[tokio::test]
    async fn a_name_that_has_come_to_mean_something_inside_is_not_gone_to_any_more() {
        static MOVED_IN: AtomicBool = AtomicBool::new(false);
        let rules = Rules { reaches: |_| !MOVED_IN.load(Ordering::SeqCst), plain: true };
        let outbound = Outbound::by(rules).expect("a client");
        let (port, asked) = serve("127.0.0.1", |_| saying("there")).await;
        let url = format!("http://localhost:{port}/");
        assert_eq!(tell(&outbound, &url).await.expect("an answer").status, StatusCode::OK);
        MOVED_IN.store(true, Ordering::SeqCst);
        let barred = tell(&outbound, &url).await.expect_err("it is private now");
        assert!(matches!(barred, Barred::Private), "{barred}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "it was looked at again before it was gone to");
    }
}
