use axum::{
    body::Body,
    response::{IntoResponse, Response},
};

use crate::{
    CannotAsk,
    answers::{Answer, RouteKind, plain_page},
};

impl IntoResponse for CannotAsk {
    /// A 503. The guard's layer gives it the form that the route wants.
    fn into_response(self) -> Response {
        let answer = Answer::unavailable(RouteKind::Api, &self.to_string(), &plain_page);
        let mut response: Response<Body> = answer.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
