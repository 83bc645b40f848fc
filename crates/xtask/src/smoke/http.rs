//! As much HTTP as a smoke run needs: one JSON request per connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// How long a server may take over one read or write before the smoke run fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a request to `address` (`HOST:PORT`), expects `status`, and returns the body.
///
/// The body is `Null` if it is empty or not JSON (a health check may answer in plain text).
pub(crate) fn expect(
    address: &str,
    status: u16,
    request_line: &str,
    body: Option<&Value>,
) -> Result<Value, String> {
    let shown = body.map(Value::to_string).unwrap_or_default();
    let reply = exchange(address, request_line, &shown)
        .map_err(|why| format!("`{request_line}` to {address}: {why}"))?;
    let unexpected = || {
        let request = format!("{request_line} {shown}");
        format!("`{}`: expected status {status}, got:\n{reply}", request.trim_end())
    };
    let (head, text) = reply.split_once("\r\n\r\n").ok_or_else(unexpected)?;
    let got = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    if got != Some(status) {
        return Err(unexpected());
    }
    Ok(serde_json::from_str(text).unwrap_or(Value::Null))
}

fn exchange(address: &str, request_line: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{request_line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}
