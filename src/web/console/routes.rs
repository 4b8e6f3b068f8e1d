//! How the console's routes are made: each names in its handler's arguments the role that it needs.
//!
//! A handler whose first argument, or the first behind the app, is a [`Seat`] is a route:
//! ```
//! use postroom::web::console::{
//!     routes::Routes,
//!     seat::{Seat, Viewer},
//! };
//! async fn page(_: Seat<Viewer>) -> &'static str {
//!     "for those who may look"
//! }
//! let doors = Routes::default().get("/page", page).doors();
//! assert_eq!(doors[0].path, "/page");
//! ```
//! Any other does not compile:
//! ```compile_fail,E0277
//! use postroom::web::console::routes::Routes;
//! async fn page() -> &'static str {
//!     "for whom?"
//! }
//! let doors = Routes::default().get("/page", page).doors();
//! ```
//! What is open to anybody says so by its name, [`Routes::anybody`].

use std::sync::Arc;

use axum::{
    extract::{DefaultBodyLimit, State},
    handler::Handler,
    http::Method,
    routing::{MethodRouter, get, post},
};

use super::seat::{AtLeast, Seat};
use crate::{
    ledger::people::MemberRole,
    web::{App, listed::Listed},
};

/// The arguments of a handler that lets nobody in without a role.
pub trait Guarded {
    /// The least that its caller has to be.
    const ROLE: MemberRole;
}

macro_rules! guarded {
    ($($more:ident)*) => {
        impl<M, R: AtLeast, $($more),*> Guarded for (M, Seat<R>, $($more,)*) {
            const ROLE: MemberRole = R::ROLE;
        }
        impl<M, R: AtLeast, $($more),*> Guarded for (M, State<Arc<App>>, Seat<R>, $($more,)*) {
            const ROLE: MemberRole = R::ROLE;
        }
    };
}

guarded! {}
guarded! { A }
guarded! { A B }
guarded! { A B C }
guarded! { A B C D }
guarded! { A B C D E }

/// A route, and whom it lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// How it is asked.
    pub method: Method,
    /// Where it is.
    pub path: &'static str,
    /// What its caller has to be.
    pub role: MemberRole,
}

/// The console's routes.
#[derive(Default)]
#[must_use = "these are routes only once they are in the router"]
pub struct Routes {
    listed: Listed<Arc<App>>,
    doors: Vec<Door>,
}

impl Routes {
    /// A page.
    pub fn get<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: Guarded + 'static,
    {
        self.door(Method::GET, path, T::ROLE, get(handler))
    }

    /// What a form is sent to.
    pub fn post<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: Guarded + 'static,
    {
        self.door(Method::POST, path, T::ROLE, post(handler))
    }

    /// What a form with files is sent to: they are limited by their type, while they come.
    pub fn post_files<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: Guarded + 'static,
    {
        self.door(Method::POST, path, T::ROLE, post(handler).layer(DefaultBodyLimit::disable()))
    }

    /// What anybody may see, signed in or not.
    pub fn anybody(self, path: &'static str, route: MethodRouter<Arc<App>>) -> Self {
        Self { listed: self.listed.route(path, route), ..self }
    }

    /// All of them, whoever they let in.
    pub fn listed(self) -> Listed<Arc<App>> {
        self.listed
    }

    /// Every route that asks for a role.
    pub fn doors(self) -> Vec<Door> {
        self.doors
    }

    fn door(
        mut self,
        method: Method,
        path: &'static str,
        role: MemberRole,
        route: MethodRouter<Arc<App>>,
    ) -> Self {
        self.doors.push(Door { method, path, role });
        Self { listed: self.listed.route(path, route), ..self }
    }
}
