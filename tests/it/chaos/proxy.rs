//! A relay between one of our processes and a server, on which the link itself goes wrong: it grows slow,
//! swallows everything, is reset, or breaks in the middle of a message.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

/// What the link is like.
#[derive(Clone, Copy, Default)]
struct Weather {
    /// Nothing passes, and nothing is lost: a partition that heals.
    stalled: bool,
    /// Nobody answers at the door.
    refused: bool,
    /// The same, on marked connections alone.
    marked_stalled: bool,
    /// Each message takes this much longer.
    delay: Duration,
    /// Connections before this one are half open: nothing will ever pass, and nobody says so.
    muted: u64,
    /// Connections before this one are reset.
    reset: u64,
}

/// A relay; its end ends every connection through it.
pub struct Relay {
    /// Where our process connects to.
    pub port: u16,
    weather: watch::Sender<Weather>,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Where new connections lead to.
    server: AtomicU16,
    /// Connections so far.
    connections: AtomicU64,
    /// Bytes towards the server until a connection breaks; 0 is: none does.
    cut_after: AtomicU64,
    /// The words towards the server at which a connection breaks.
    cut_at: Mutex<Option<CutAt>>,
    /// The words towards the server that mark a connection, and how many such connections stay unmarked.
    marks: Mutex<Option<(&'static [u8], usize)>>,
}

/// Words at which a connection breaks.
#[derive(Clone, Copy)]
pub struct CutAt {
    /// The words.
    pub words: &'static [u8],
    /// Whether they still reach the server; the answer to them never comes back.
    pub delivered: bool,
}

impl Relay {
    /// A relay to a port of this machine.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (weather, seen) = watch::channel(Weather::default());
        let shared = Arc::new(Shared { server: server.into(), ..Shared::default() });
        let accepting = tokio::spawn(accept(listener, seen, Arc::clone(&shared)));
        Self { port, weather, shared, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// Everything passes again. What is mute stays mute.
    pub fn clear(&self) {
        self.shared.cut_after.store(0, Ordering::SeqCst);
        self.weather
            .send_modify(|it| *it = Weather { muted: it.muted, reset: it.reset, ..Weather::default() });
    }

    /// Swallows everything until it clears; what was swallowed then arrives.
    pub fn stall(&self) {
        self.weather.send_modify(|it| it.stalled = true);
    }

    /// Marks the connections on which these words go to the server, but for the first `spared` of them.
    pub fn mark(&self, words: &'static [u8], spared: usize) {
        *self.shared.marks.lock().unwrap() = Some((words, spared));
    }

    /// Swallows everything on marked connections until it clears; what was swallowed then arrives.
    pub fn stall_marked(&self) {
        self.weather.send_modify(|it| it.marked_stalled = true);
    }

    /// Leads new connections to another port; those there are stay where they are.
    pub fn lead_to(&self, server: u16) {
        self.shared.server.store(server, Ordering::SeqCst);
    }

    /// Turns away who connects, and resets who is connected.
    pub fn refuse(&self) {
        self.weather.send_modify(|it| it.refused = true);
        self.reset();
    }

    /// Makes each message take longer.
    pub fn delay(&self, by: Duration) {
        self.weather.send_modify(|it| it.delay = by);
    }

    /// Leaves the connections there are half open, for good.
    pub fn mute(&self) {
        let now = self.shared.connections.load(Ordering::SeqCst);
        self.weather.send_modify(|it| it.muted = now);
    }

    /// Resets the connections there are.
    pub fn reset(&self) {
        let now = self.shared.connections.load(Ordering::SeqCst);
        self.weather.send_modify(|it| it.reset = now);
    }

    /// Breaks the next connection on which these words go to the server.
    pub fn cut_at(&self, words: CutAt) {
        *self.shared.cut_at.lock().unwrap() = Some(words);
    }

    /// Breaks one connection after so many more bytes have gone to the server.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.cut_after.store(bytes, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, weather: watch::Receiver<Weather>, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        if weather.borrow().refused {
            continue;
        }
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let (shared, marked) = (Arc::clone(&shared), Arc::default());
        let link = Link { number, weather: weather.clone(), shared, marked };
        connections.spawn(link.carry(client));
    }
}

/// One connection.
#[derive(Clone)]
struct Link {
    number: u64,
    weather: watch::Receiver<Weather>,
    shared: Arc<Shared>,
    marked: Arc<AtomicBool>,
}

impl Link {
    async fn carry(self, client: TcpStream) {
        if !self.clone().passes().await {
            return;
        }
        let server = self.shared.server.load(Ordering::SeqCst);
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
        let (Ok(()), Ok(())) = (client.set_nodelay(true), server.set_nodelay(true)) else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let mut watched = self.clone();
        let (mut up, mut down) = (self.clone(), self);
        tokio::select! {
            () = up.pump(from_client, to_server, true) => {}
            () = down.pump(from_server, to_client, false) => {}
            () = watched.reset() => {}
        }
    }

    async fn reset(&mut self) {
        let number = self.number;
        let _gone = self.weather.wait_for(|it| number < it.reset).await;
    }

    /// Waits until something may pass; false where nothing will any more.
    async fn passes(mut self) -> bool {
        let (number, marked) = (self.number, self.marked.load(Ordering::SeqCst));
        let stalled = |it: &Weather| it.stalled || (it.marked_stalled && marked);
        let seen = self.weather.wait_for(|it| !stalled(it) || number < it.muted).await;
        match seen.map(|it| (number < it.muted, it.delay)) {
            Ok((false, delay)) => {
                tokio::time::sleep(delay).await;
                true
            }
            Ok((true, _)) => {
                let _relay_gone = self.weather.wait_for(|_| false).await;
                false
            }
            Err(_) => false,
        }
    }

    async fn pump(&mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, towards_server: bool) {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if towards_server {
                self.mark(&buffer[..length]);
            }
            if !self.clone().passes().await {
                return;
            }
            if towards_server && let Some(cut) = self.cut_at(&buffer[..length]) {
                if cut.delivered {
                    let _broken_anyway = to.write_all(&buffer[..length]).await;
                }
                return;
            }
            let left = if towards_server { self.until_cut(length) } else { length };
            if to.write_all(&buffer[..left]).await.is_err() || left < length {
                return;
            }
        }
    }

    /// Marks this connection if these bytes hold the words that do.
    fn mark(&self, bytes: &[u8]) {
        let mut marks = self.shared.marks.lock().unwrap();
        let Some((words, spared)) = &mut *marks else { return };
        if !bytes.windows(words.len()).any(|window| window == *words) {
            return;
        }
        match spared.checked_sub(1) {
            Some(left) => *spared = left,
            None => self.marked.store(true, Ordering::SeqCst),
        }
    }

    /// Whether these bytes hold the words at which to break.
    fn cut_at(&self, bytes: &[u8]) -> Option<CutAt> {
        let mut cut = self.shared.cut_at.lock().unwrap();
        cut.take_if(|cut| bytes.windows(cut.words.len()).any(|window| window == cut.words))
    }

    /// How much of so many bytes still passes.
    fn until_cut(&self, length: usize) -> usize {
        let length = length as u64;
        let spent =
            self.shared.cut_after.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
                0 => None,
                left if left > length => Some(left - length),
                _ => Some(0),
            });
        let passes = match spent {
            Ok(left) if left <= length => left.saturating_sub(1),
            Ok(_) | Err(_) => length,
        };
        usize::try_from(passes).expect("below a usize")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> (Relay, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::to(listener.local_addr().unwrap().port()).await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        let client = TcpStream::connect(("127.0.0.1", relay.port)).await.unwrap();
        (relay, client)
    }

    async fn answer(client: &mut TcpStream, words: &[u8]) -> std::io::Result<Vec<u8>> {
        client.write_all(words).await?;
        let mut back = vec![0; words.len()];
        client.read_exact(&mut back).await?;
        Ok(back)
    }

    #[tokio::test]
    async fn what_a_partition_swallowed_arrives_when_it_heals() {
        let (relay, mut client) = echo().await;
        assert_eq!(answer(&mut client, b"one").await.unwrap(), b"one");
        relay.stall();
        let waited = tokio::time::timeout(Duration::from_millis(50), answer(&mut client, b"two")).await;
        assert!(waited.is_err(), "nothing passes");
        relay.clear();
        let mut back = [0; 3];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"two");
    }

    #[tokio::test]
    async fn a_half_open_connection_stays_so_and_a_new_one_works() {
        let (relay, mut client) = echo().await;
        assert_eq!(answer(&mut client, b"one").await.unwrap(), b"one");
        relay.mute();
        relay.clear();
        let waited = tokio::time::timeout(Duration::from_millis(50), answer(&mut client, b"two")).await;
        assert!(waited.is_err(), "nothing passes, and nobody says so");
        let mut other = TcpStream::connect(("127.0.0.1", relay.port)).await.unwrap();
        assert_eq!(answer(&mut other, b"three").await.unwrap(), b"three");
    }

    #[tokio::test]
    async fn a_cut_comes_in_the_middle_of_a_message_and_hits_one_connection() {
        let (relay, mut client) = echo().await;
        relay.cut_after(3);
        assert!(answer(&mut client, b"five!").await.is_err());
        let mut other = TcpStream::connect(("127.0.0.1", relay.port)).await.unwrap();
        assert_eq!(answer(&mut other, b"whole").await.unwrap(), b"whole");
    }

    #[tokio::test]
    async fn marked_connections_stall_and_the_others_go_on() {
        let (relay, mut client) = echo().await;
        relay.mark(b"two", 1);
        let mut other = TcpStream::connect(("127.0.0.1", relay.port)).await.unwrap();
        assert_eq!(answer(&mut client, b"two").await.unwrap(), b"two");
        assert_eq!(answer(&mut other, b"two").await.unwrap(), b"two");
        relay.stall_marked();
        assert_eq!(answer(&mut client, b"three").await.unwrap(), b"three");
        let waited = tokio::time::timeout(Duration::from_millis(50), answer(&mut other, b"four")).await;
        assert!(waited.is_err(), "nothing passes");
    }

    #[tokio::test]
    async fn a_reset_ends_the_connections_there_are() {
        let (relay, mut client) = echo().await;
        assert_eq!(answer(&mut client, b"one").await.unwrap(), b"one");
        relay.reset();
        assert!(answer(&mut client, b"two").await.is_err());
    }
}
