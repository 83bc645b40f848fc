//! The HTTP interface: paths, methods, and every error as JSON.

use actix_web::error::{JsonPayloadError, PathError, QueryPayloadError};
use actix_web::guard::{self, Guard};
use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{self, Data, Json, JsonConfig, Path, PathConfig, Query, QueryConfig};
use actix_web::{HttpRequest, HttpResponse, ResponseError, Route};
use serde_json::json;

use crate::problem::Problem;
use crate::request::{NewAccount, NewPosting, Page};
use crate::service::Service;

/// The largest body of a request, in bytes.
const LARGEST_BODY: usize = 64 * 1024;

/// Adds all routes to an application that has the [`Service`] as its data.
pub(crate) fn configure(app: &mut web::ServiceConfig) {
    // The body counts as JSON whatever its type is said to be: `curl -d` says it is a form.
    let body = JsonConfig::default()
        .limit(LARGEST_BODY)
        .content_type_required(false)
        .content_type(|_| true)
        .error_handler(|error, _| body_problem(&error).into());
    app.app_data(body)
        .app_data(QueryConfig::default().error_handler(|error: QueryPayloadError, _| {
            Problem::malformed(format_args!("the query is not understood: {error}")).into()
        }))
        .app_data(PathConfig::default().error_handler(|error: PathError, _| {
            Problem::malformed(format_args!("the path is not understood: {error}")).into()
        }))
        .service(
            web::resource("/accounts")
                .route(get().to(list_accounts))
                .route(web::post().to(open_account))
                .default_service(web::to(|request| wrong_method(request, "GET, HEAD, POST"))),
        )
        .service(
            web::resource("/accounts/{id}")
                .route(get().to(show_account))
                .default_service(web::to(|request| wrong_method(request, "GET, HEAD"))),
        )
        .service(
            web::resource("/accounts/{id}/postings")
                .route(get().to(list_postings))
                .default_service(web::to(|request| wrong_method(request, "GET, HEAD"))),
        )
        .service(
            web::resource("/postings")
                .route(web::post().to(post))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/audit")
                .route(get().to(audit))
                .default_service(web::to(|request| wrong_method(request, "GET, HEAD"))),
        )
        .service(
            web::resource("/healthz")
                .route(get().to(healthz))
                .default_service(web::to(|request| wrong_method(request, "GET, HEAD"))),
        )
        .default_service(web::to(nothing_here));
}

type Reply = Result<HttpResponse, Problem>;

async fn open_account(service: Data<Service>, body: Json<NewAccount>) -> Reply {
    let account = service.open(body.into_inner().check()?).await?;
    Ok(HttpResponse::Created().json(account))
}

async fn post(service: Data<Service>, body: Json<NewPosting>) -> Reply {
    let receipt = service.post(body.into_inner().check()?).await?;
    Ok(HttpResponse::Created().json(receipt))
}

async fn show_account(service: Data<Service>, id: Path<String>) -> Reply {
    let id = id.into_inner();
    let account = service.read(move |books| Ok((books.account(&id)?, id))).await?;
    match account {
        (Some(account), _) => Ok(HttpResponse::Ok().json(account)),
        (None, id) => Err(Problem::no_account(&id)),
    }
}

async fn list_accounts(service: Data<Service>, page: Query<Page>) -> Reply {
    let page = page.into_inner();
    let (limit, after) = (page.limit()?, page.after_id()?);
    let accounts = service.read(move |books| books.accounts_after(after.as_deref(), limit)).await?;
    Ok(HttpResponse::Ok().json(accounts))
}

async fn list_postings(service: Data<Service>, id: Path<String>, page: Query<Page>) -> Reply {
    let (id, limit, after) = (id.into_inner(), page.limit()?, page.after_cursor()?);
    let postings = service
        .read(move |books| {
            let postings = match books.balance(&id)? {
                Some(_) => Some(books.postings_after(&id, after, limit)?),
                None => None,
            };
            Ok(postings.ok_or_else(|| Problem::no_account(&id)))
        })
        .await??;
    Ok(HttpResponse::Ok().json(postings))
}

async fn audit(service: Data<Service>) -> Reply {
    Ok(HttpResponse::Ok().json(service.audit().await?))
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

async fn nothing_here(request: HttpRequest) -> Reply {
    let what = format!("there is nothing at {:?}", request.path());
    Err(Problem::new(StatusCode::NOT_FOUND, what))
}

async fn wrong_method(request: HttpRequest, allowed: &'static str) -> HttpResponse {
    let (method, path) = (request.method(), request.path());
    let what = format!("{method} is not possible at {path:?}; there is: {allowed}");
    let mut reply = Problem::new(StatusCode::METHOD_NOT_ALLOWED, what).error_response();
    let allow = header::HeaderValue::from_static(allowed);
    reply.headers_mut().insert(header::ALLOW, allow);
    reply
}

/// GET, and HEAD, which is the same without the body.
fn get() -> Route {
    web::route().guard(guard::fn_guard(|request| {
        guard::Get().check(request) || guard::Method(Method::HEAD).check(request)
    }))
}

fn body_problem(error: &JsonPayloadError) -> Problem {
    match error {
        JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. } => {
            let what = format!("the body must not be larger than {LARGEST_BODY} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, what)
        }
        JsonPayloadError::Deserialize(error) => {
            Problem::malformed(format_args!("the body is not what is needed here: {error}"))
        }
        other => Problem::malformed(format_args!("the body cannot be read: {other}")),
    }
}
