//! The one style sheet, the one script, the sign in the tab: named by their content and kept by browsers.

use axum::{
    extract::Path,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use crate::web::problem::Problem;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

const ASSETS: &[Asset] = &[
    Asset {
        name: "app.css",
        content_type: "text/css; charset=utf-8",
        content: include_str!("../assets/app.css"),
    },
    Asset {
        name: "app.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_str!("../assets/app.js"),
    },
    Asset { name: "icon.svg", content_type: "image/svg+xml", content: include_str!("../assets/icon.svg") },
];

/// The addresses of the assets, each with its content's hash.
#[derive(Debug)]
pub struct Assets {
    pub css: String,
    pub js: String,
    pub icon: String,
}

impl Assets {
    /// Hashes them once.
    pub fn new() -> Self {
        let [css, js, icon] = ["app.css", "app.js", "icon.svg"].map(address);
        Self { css, js, icon }
    }
}

fn address(name: &str) -> String {
    let content = ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| asset.content);
    let digest = hex::encode(Sha256::digest(content));
    format!("/assets/{}/{name}", &digest[..12])
}

/// One asset. Whatever hash is asked for gets today's: a page from before an update still looks right.
pub async fn one(Path((hash, name)): Path<(String, String)>) -> Result<Response, Problem> {
    let asset = ASSETS.iter().find(|asset| asset.name == name).ok_or_else(|| Problem::not_found("file"))?;
    let own = address(asset.name).contains(&format!("/{hash}/"));
    let keep = if own { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static(keep)),
    ];
    Ok((headers, asset.content).into_response())
}
