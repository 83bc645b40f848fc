//! An SMTP server on loopback that keeps nothing: it says whom each mail is for and its Message-Id,
//! one line per mail, after a first line with its port.
//!
//! It turns away every fifth mail for now, as servers do that know the sender too little.

use std::{
    io::{self, BufRead, BufReader, Write, stdout},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

static MAILS: AtomicUsize = AtomicUsize::new(1);

fn main() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    say(&listener.local_addr()?.port().to_string())?;
    for client in listener.incoming() {
        let client = client?;
        // A client that dies in the middle of its mail is of no interest.
        thread::spawn(move || drop(serve(client)));
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn serve(client: TcpStream) -> io::Result<()> {
    let mut answers = client.try_clone()?;
    let mut answer = |text: &str| answers.write_all(format!("{text}\r\n").as_bytes());
    let mut lines = BufReader::new(client).lines();
    let mut to = String::new();
    answer("220 sink")?;
    while let Some(line) = lines.next().transpose()? {
        let verb = line.get(..4).unwrap_or(&line).to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" | "HELO" | "MAIL" | "RSET" | "NOOP" => answer("250 ok")?,
            "RCPT" => {
                to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                answer("250 ok")?;
            }
            "DATA" => {
                answer("354 go on")?;
                // Without its end a mail is none: the client died in the middle of it.
                let Some(id) = message_id(&mut lines)? else { return Ok(()) };
                if MAILS.fetch_add(1, Ordering::Relaxed).is_multiple_of(5) {
                    answer("451 come back later")?;
                } else {
                    say(&format!("{to} {id}"))?;
                    answer("250 kept")?;
                }
            }
            "QUIT" => return answer("221 bye"),
            _ => answer("502 unknown")?,
        }
    }
    Ok(())
}

/// Reads a mail to its end and returns its Message-Id; `None` when the connection ends before.
fn message_id(lines: &mut impl Iterator<Item = io::Result<String>>) -> io::Result<Option<String>> {
    let mut id = String::new();
    for line in lines {
        let line = line?;
        if line == "." {
            return Ok(Some(id));
        }
        if let Some(value) = line.strip_prefix("Message-ID: ") {
            value.clone_into(&mut id);
        }
    }
    Ok(None)
}
