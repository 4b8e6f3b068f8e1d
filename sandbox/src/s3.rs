//! The media store's stand-in: S3 over files on disk.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tower::service_fn;

/// The bucket that exists from the first start on.
pub const BUCKET: &str = "postroom";

/// A path-style S3 server over the files in `folder`, for one key and its secret. While it is away it answers everything with
/// a 503.
pub fn router(
    folder: &Path,
    (access_key, secret_key): (&str, &str),
    away: &Arc<AtomicBool>,
) -> io::Result<Router> {
    std::fs::create_dir_all(folder.join(BUCKET))?;
    let files = FileSystem::new(folder).map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
    let s3 = builder.build();
    let away = Arc::clone(away);
    Ok(Router::new().fallback_service(service_fn(move |request: Request<Body>| {
        let (s3, away) = (s3.clone(), away.load(Ordering::SeqCst));
        async move {
            if away {
                return Ok::<_, Infallible>(unavailable());
            }
            Ok(answer(s3.call(request.map(s3s::Body::http_body_unsync)).await))
        }
    })))
}

/// As S3 says it.
fn unavailable() -> Response<Body> {
    let error = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
                 <Error><Code>ServiceUnavailable</Code><Message>Scripted</Message></Error>";
    let mut response = Response::new(Body::from(error));
    *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/xml"));
    response
}

fn answer<E: std::fmt::Debug>(answered: Result<Response<s3s::Body>, E>) -> Response<Body> {
    match answered {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            eprintln!("s3: {error:?}");
            let mut response = Response::new(Body::empty());
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}
