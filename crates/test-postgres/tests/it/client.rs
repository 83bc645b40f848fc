//! [`Client`]: as much of PostgreSQL's protocol as a simple query needs.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

/// A connection of the superuser.
pub(crate) struct Client(TcpStream);

impl Client {
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut client = Self(stream);
        let parameters = b"user\0postgres\0database\0postgres\0\0";
        let mut hello = 196_608_u32.to_be_bytes().to_vec();
        hello.extend(parameters);
        client.send(&[], &hello)?;
        client.rows().map(|_| client)
    }

    /// The first column of each row.
    pub(crate) fn query(&mut self, sql: &str) -> io::Result<Vec<String>> {
        self.send(b"Q", format!("{sql}\0").as_bytes())?;
        self.rows()
    }

    fn send(&mut self, kind: &[u8], body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        self.0.write_all(&[kind, &length, body].concat())
    }

    /// Reads on until the server is ready for another query.
    fn rows(&mut self) -> io::Result<Vec<String>> {
        let (mut rows, mut error) = (Vec::new(), None);
        loop {
            let mut head = [0; 5];
            if let Err(end) = self.0.read_exact(&mut head) {
                // What the server has said before it closed says more.
                return Err(error.unwrap_or(end));
            }
            let length = u32::from_be_bytes(head[1..].try_into().unwrap());
            let mut body = vec![0; length as usize - 4];
            self.0.read_exact(&mut body)?;
            let text = |from: usize| {
                String::from_utf8_lossy(body.get(from..).unwrap_or_default()).into_owned()
            };
            match head[0] {
                // The number of columns and the length of the first come before its value.
                b'D' => rows.push(text(6)),
                b'E' => error = Some(io::Error::other(text(0))),
                b'Z' => return error.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }
}
