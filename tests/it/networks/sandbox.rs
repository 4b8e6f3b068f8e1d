//! The stand-in of the networks, as this suite starts it.

use super::*;

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Addresses {
    graph: String,
    rupload: String,
    tiktok: String,
    s3: String,
    bucket: String,
    pub(super) control: String,
    access_key: String,
    secret_key: String,
}

/// The stand-in, up on free ports, gone with its last test.
pub(super) struct Sandbox {
    _program: Program,
    folder: tempfile::TempDir,
    pub(super) at: Addresses,
    pub(super) http: reqwest::Client,
    pub(super) networks: Connected,
    pub(super) store: S3,
    pub(super) pulls: Pulls,
}

impl Sandbox {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let program = Program::start(folder.path());
        let at = addresses(&folder.path().join("addresses.json")).await;
        let (networks, store) = (networks(&at.graph, &at.rupload, &at.tiktok), store(&at));
        let pulls = Pulls::open(store.clone()).await;
        let store = store.behind(Arc::new(pulls.clone()));
        Self { _program: program, folder, at, http: crate::harness::client(), networks, store, pulls }
    }

    pub(super) async fn control(&self, path: &str, body: Value) -> Value {
        let request = self.http.post(format!("{}/{path}", self.at.control));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.expect("the control API answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.expect("JSON")
    }

    pub(super) async fn fault(&self, entry: &Entry, call: &str, fault: Value) {
        self.control(
            "faults",
            json!({ "network": entry.platform.name, "call": call, "times": 1, "fault": fault }),
        )
        .await;
    }

    pub(super) async fn advance(&self, by: Duration) {
        self.control("clock", json!({ "advance_ms": by.as_millis() })).await;
    }

    pub(super) async fn list(&self, what: &str, query: &[(&str, &str)]) -> Vec<Value> {
        let request = self.http.get(format!("{}/{what}", self.at.control)).query(query);
        let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        answer["data"].as_array().cloned().expect("a list")
    }

    /// How often a call was made.
    pub(super) async fn calls(&self, call: &str) -> usize {
        self.list("calls", &[("call", call)]).await.len()
    }

    /// Stores a small picture or film that the networks take.
    pub(super) async fn file(&self, content_type: &str) -> File {
        let path = self.folder.path().join("upload");
        match content_type {
            "image/jpeg" => picture(&path),
            "video/mp4" => film(&path, 1000),
            other => panic!("there is no sample of {other}"),
        }
        self.stored(&path, content_type).await
    }

    /// Stores a film of two parts, the second a little longer than the first.
    pub(super) async fn long_film(&self) -> File {
        let path = self.folder.path().join("upload");
        film(&path, 10 * 1024 * 1024 + 1);
        self.stored(&path, "video/mp4").await
    }

    async fn stored(&self, path: &Path, content_type: &str) -> File {
        let key = format!("w/{}", Uuid::now_v7());
        let bytes = std::fs::metadata(path).expect("a file").len();
        self.store.store(&key, content_type, path).await.expect("stored");
        File { key, content_type: content_type.into(), bytes, width: 600 }
    }
}

/// Ends with its owner, a test that fails included.
struct Program(Child);

impl Program {
    fn start(folder: &Path) -> Self {
        let path = Path::new(env!("CARGO_BIN_EXE_postroom")).with_file_name("sandbox");
        let mut command = Command::new(&path);
        command.args(["serve", "--require-call-id", "--meta-app-secret", SECRET]);
        command.args(["--processing", &format!("{}s", PROCESSING.as_secs())]);
        let child = command.arg("--data").arg(folder).stdout(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| panic!("{}: {error}; build the whole workspace", path.display())))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(super) fn networks(graph: &str, uploads: &str, tiktok: &str) -> Connected {
    let environment = |name: &str| {
        let value = match name {
            "META_APP_ID" => "sandbox-app",
            "META_APP_SECRET" => SECRET,
            "META_GRAPH_URL" => graph,
            "META_RUPLOAD_URL" => uploads,
            "TIKTOK_CLIENT_KEY" | "TIKTOK_CLIENT_SECRET" => "sandbox",
            "TIKTOK_API_URL" => tiktok,
            other => panic!("{other} is not known here"),
        };
        Some(value.to_owned())
    };
    connect_all(&settings(), &environment).expect("the networks are on")
}

fn store(at: &Addresses) -> S3 {
    let variables: HashMap<_, _> = [
        ("S3_BUCKET", &at.bucket),
        ("AWS_ENDPOINT_URL_S3", &at.s3),
        ("AWS_ACCESS_KEY_ID", &at.access_key),
        ("AWS_SECRET_ACCESS_KEY", &at.secret_key),
    ]
    .into();
    S3::from_environment(&|name| variables.get(name).map(|value| (*value).clone())).expect("a store")
}

async fn addresses(path: &PathBuf) -> Addresses {
    let until = Instant::now() + Duration::from_secs(20);
    let mut look = tokio::time::interval(Duration::from_millis(5));
    loop {
        look.tick().await;
        if let Ok(text) = std::fs::read(path) {
            return serde_json::from_slice(&text).expect("addresses");
        }
        assert!(Instant::now() < until, "the sandbox did not come up");
    }
}

fn settings() -> Settings {
    let whole: toml::Table = include_str!("../../../worker.toml").parse().expect("worker.toml is TOML");
    whole["networks"].clone().try_into().expect("tables")
}

fn picture(path: &Path) {
    let image = image::RgbImage::from_pixel(320, 320, image::Rgb([200, 120, 40]));
    image.save_with_format(path, image::ImageFormat::Jpeg).expect("a picture");
}

/// The head of a film, and so many bytes in all.
fn film(path: &Path, length: usize) {
    let mut bytes = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec();
    bytes.resize(length, 7);
    std::fs::write(path, bytes).expect("a film");
}
