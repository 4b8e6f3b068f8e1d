//! A sandbox in this process with a folder of its own, and the few verbs in which the tests speak.

use std::io::Cursor;
use std::path::PathBuf;

use image::{ImageFormat, RgbImage};
use reqwest::{Client, Method, RequestBuilder};
use sandbox::serve::{Addresses, Options, Running};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::store;

/// The seeded accounts and tokens.
pub const PAGE: &str = "104000000000001";
pub const IG: &str = "17841400000000001";
pub const PAGE_TOKEN: &str = "sandbox-page-token";
pub const TIKTOK_TOKEN: &str = "sandbox-tiktok-access";

/// A running sandbox.
pub struct Net {
    running: Option<Running>,
    folder: TempDir,
    http: Client,
}

/// A status and the JSON that came with it; null where there was none.
pub type Answered = (u16, Value);

impl Net {
    /// A fresh one, where media are processed in no time.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A fresh one with other options.
    pub async fn start_with(change: impl Fn(&mut Options)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = options(folder.path().into());
        change(&mut options);
        let running = Running::start(options).await.expect("a sandbox");
        Self { running: Some(running), folder, http: client() }
    }

    /// Stops it and starts it again over the same files.
    pub async fn restart(mut self) -> Self {
        self.running.take().expect("running").stop().await;
        let running = Running::start(options(self.folder.path().into())).await.expect("a sandbox");
        Self { running: Some(running), folder: self.folder, http: client() }
    }

    pub fn addresses(&self) -> &Addresses {
        &self.running.as_ref().expect("running").addresses
    }

    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).expect(name)
    }

    /// A call to Graph with the Page's token, not yet sent.
    pub fn graph(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/{path}", self.addresses().graph);
        self.http.request(method, url).bearer_auth(PAGE_TOKEN)
    }

    pub async fn graph_get(&self, path: &str) -> Answered {
        send(self.graph(Method::GET, path)).await
    }

    pub async fn graph_post(&self, path: &str, form: &[(&str, &str)]) -> Answered {
        send(self.graph(Method::POST, path).form(form)).await
    }

    /// A draft on the Page.
    pub async fn draft(&self, message: &str) -> String {
        let form = [("message", message), ("published", "false")];
        id(&self.graph_post(&format!("{PAGE}/feed"), &form).await)
    }

    /// The flip of a draft.
    pub async fn flip(&self, post: &str) -> Answered {
        self.graph_post(post, &[("is_published", "true")]).await
    }

    pub async fn is_published(&self, post: &str) -> Value {
        self.graph_get(&format!("{post}?fields=is_published")).await.1["is_published"].clone()
    }

    /// A container with a picture, and its caption.
    pub async fn container(&self, caption: &str) -> String {
        let url = self.host("square.jpg", jpeg(640, 640)).await;
        id(&self.graph_post(&format!("{IG}/media"), &[("image_url", &url), ("caption", caption)]).await)
    }

    pub async fn status_code(&self, container: &str) -> Value {
        self.graph_get(&format!("{container}?fields=status_code")).await.1["status_code"].clone()
    }

    pub async fn media_publish(&self, container: &str) -> Answered {
        self.graph_post(&format!("{IG}/media_publish"), &[("creation_id", container)]).await
    }

    /// A call to TikTok.
    pub async fn tiktok(&self, path: &str, body: Value) -> Answered {
        let url = format!("{}/v2/{path}", self.addresses().tiktok);
        send(self.http.post(url).bearer_auth(TIKTOK_TOKEN).json(&body)).await
    }

    /// Opens an upload: its publish id and its address.
    pub async fn open_upload(&self, title: &str, bytes: &[u8]) -> (String, String) {
        let size = bytes.len();
        let body = json!({
            "post_info": { "title": title, "privacy_level": "PUBLIC_TO_EVERYONE" },
            "source_info": {
                "source": "FILE_UPLOAD", "video_size": size, "chunk_size": size, "total_chunk_count": 1,
            },
        });
        let (status, answer) = self.tiktok("post/publish/video/init/", body).await;
        assert_eq!(status, 200, "{answer}");
        let text = |name: &str| answer["data"][name].as_str().expect(name).to_owned();
        (text("publish_id"), text("upload_url"))
    }

    /// Sends bytes from `first` on, of `total`.
    pub fn put(&self, url: &str, bytes: &[u8], first: usize, total: usize) -> RequestBuilder {
        let range = format!("bytes {first}-{}/{total}", first + bytes.len() - 1);
        let put = self.http.put(url).header("content-type", "video/mp4").header("content-range", range);
        put.body(bytes.to_vec())
    }

    pub async fn upload_status(&self, publish_id: &str) -> Value {
        let (_, answer) =
            self.tiktok("post/publish/status/fetch/", json!({ "publish_id": publish_id })).await;
        answer["data"].clone()
    }

    pub async fn control_get(&self, path: &str) -> Value {
        send(self.http.get(format!("{}/{path}", self.addresses().control))).await.1
    }

    pub async fn control(&self, path: &str, body: Value) -> Answered {
        send(self.http.post(format!("{}/{path}", self.addresses().control)).json(&body)).await
    }

    /// Adds a rule.
    pub async fn fault(&self, rule: Value) {
        let (status, answer) = self.control("faults", rule).await;
        assert_eq!(status, 201, "{answer}");
    }

    pub async fn advance(&self, ms: i64) {
        assert_eq!(self.control("clock", json!({ "advance_ms": ms })).await.0, 200);
    }

    /// The captions of all effects so far.
    pub async fn effects(&self) -> Vec<String> {
        let found = self.control_get("effects").await;
        let list = found["data"].as_array().expect("a list");
        list.iter().map(|effect| effect["caption"].as_str().expect("a caption").to_owned()).collect()
    }

    /// Waits, within reason, until this caption is among the effects.
    pub async fn seen(&self, caption: &str) {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        while !self.effects().await.iter().any(|seen| seen == caption) {
            assert!(tokio::time::Instant::now() < deadline, "{caption:?} never became public");
            tokio::task::yield_now().await;
        }
    }

    /// Puts a file into the store and gives a presigned address from which it can be had.
    pub async fn host(&self, name: &str, bytes: Vec<u8>) -> String {
        let put = store::presigned(self.addresses(), "PUT", name);
        let stored = self.http.put(put).body(bytes).send().await.expect("the store answers");
        assert_eq!(stored.status(), 200);
        store::presigned(self.addresses(), "GET", name)
    }

    /// A page of the wall.
    pub async fn page(&self, path: &str) -> (u16, String) {
        let url = format!("{}{path}", self.addresses().wall.trim_end_matches('/'));
        let answer = self.http.get(url).send().await.expect("a page");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    pub fn http(&self) -> &Client {
        &self.http
    }
}

/// Sends a call that is expected to be answered.
pub async fn send(call: RequestBuilder) -> Answered {
    let answer = call.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or_default())
}

/// The id of what was created.
pub fn id((status, answer): &Answered) -> String {
    assert_eq!(*status, 200, "{answer}");
    answer["id"].as_str().expect("an id").to_owned()
}

/// The code and subcode of a Graph error.
pub fn code((_, answer): &Answered) -> (i64, i64) {
    let number = |name: &str| answer["error"][name].as_i64().unwrap_or_default();
    (number("code"), number("error_subcode"))
}

/// A JPEG of a size.
pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    picture(width, height, ImageFormat::Jpeg)
}

/// A picture of a size and format.
pub fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::new(width, height).write_to(&mut bytes, format).expect("a picture");
    bytes.into_inner()
}

/// Bytes that look like an mp4.
pub fn mp4(size: usize) -> Vec<u8> {
    let mut bytes = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec();
    bytes.resize(size, 0);
    bytes
}

fn client() -> Client {
    Client::builder().no_proxy().retry(reqwest::retry::never()).build().expect("a client")
}

fn options(data: PathBuf) -> Options {
    let any = "127.0.0.1:0".parse().expect("an address");
    Options {
        data,
        listen: any,
        s3_listen: any,
        smtp_listen: any,
        ledger: None,
        processing: Some(std::time::Duration::ZERO),
        meta_app_secret: None,
        tiktok_webhook: None,
        tiktok_client_key: None,
        tiktok_client_secret: None,
        require_call_id: false,
        s3_access_key: "sandbox".into(),
        s3_secret_key: "sandbox-secret".into(),
    }
}
