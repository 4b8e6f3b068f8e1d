//! A router that can say which paths it has: what answers and what is listed cannot differ, for they are one.

use std::convert::Infallible;

use axum::{
    Router,
    extract::Request,
    response::IntoResponse,
    routing::{MethodRouter, Route},
};
use tower::{Layer, Service};

/// Routes, and their paths.
pub struct Listed<S> {
    router: Router<S>,
    paths: Vec<String>,
}

impl<S: Clone + Send + Sync + 'static> Listed<S> {
    /// None yet.
    pub fn new() -> Self {
        Self::of(Router::new(), Vec::new())
    }

    /// Those of a router that somebody else has listed.
    pub const fn of(router: Router<S>, paths: Vec<String>) -> Self {
        Self { router, paths }
    }

    /// One more path.
    #[must_use]
    pub fn route(mut self, path: &str, answers: MethodRouter<S>) -> Self {
        self.paths.push(path.to_owned());
        Self { router: self.router.route(path, answers), paths: self.paths }
    }

    /// All of another one's.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.paths.extend(other.paths);
        Self { router: self.router.merge(other.router), paths: self.paths }
    }

    /// Around everything so far.
    #[must_use]
    pub fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        Self { router: self.router.layer(layer), paths: self.paths }
    }

    /// The paths, each once.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = self.paths.clone();
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// The router itself.
    pub fn router(self) -> Router<S> {
        self.router
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Listed<S> {
    fn default() -> Self {
        Self::new()
    }
}
