//! [`Target`]: which database a URL means, with and without what is secret in it.

use super::{PostgresError, PostgresOptions};

/// A database, as it is connected to and as messages name it.
#[derive(Clone)]
pub(crate) struct Target {
    /// Holds the password: never to be shown.
    pub(crate) url: String,
    pub(crate) name: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.name.fmt(f)
    }
}

impl Target {
    /// Takes a URL (`postgres://…`) or a connection string of libpq's (`host=… dbname=…`), and adds
    /// settings that it does not make itself.
    pub(crate) fn parse(given: &str, options: &PostgresOptions) -> Result<Self, PostgresError> {
        let refused = |problem: &str| Err(PostgresError::Url { problem: problem.to_owned() });
        if given.contains('\0') {
            return refused("it has NUL in it");
        }
        let scheme = ["postgres://", "postgresql://"].into_iter().find(|it| given.starts_with(it));
        let Some(scheme) = scheme else {
            if given.contains("://") {
                return refused("it begins with another scheme than postgres://");
            }
            if !given.contains('=') {
                return refused("it is neither a URL nor a list of settings such as host=…");
            }
            return Ok(Self::of_settings(given, options));
        };
        let (place, query) = match given[scheme.len()..].split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (&given[scheme.len()..], None),
        };
        if place.matches('@').count() > 1 {
            return refused("it has more than one @; write the one in a password as %40");
        }
        let name = format!("postgres://{}", place.rsplit('@').next().unwrap_or_default());
        let mut url = given.to_owned();
        for (setting, value) in settings(options) {
            let given = query.unwrap_or_default().split('&');
            if !given.map(|pair| pair.split('=').next()).any(|key| key == Some(setting)) {
                if !url.ends_with('?') {
                    url.push(if url.contains('?') { '&' } else { '?' });
                }
                url.push_str(&format!("{setting}={}", percent_encoded(&value)));
            }
        }
        Ok(Self { url, name })
    }

    /// Whether the setting that [`probing`](Self::probing) adds takes the place of others.
    pub(crate) fn has_options(&self) -> bool {
        let word = if self.url.contains("://") { "options=" } else { "options" };
        self.url.contains(word) || std::env::var_os("PGOPTIONS").is_some()
    }

    /// The same, but with a setting that only arrives where nothing stands between.
    pub(crate) fn probing(&self) -> Self {
        let url = match self.url.contains("://") {
            true => format!("{}&options=-c%20rederive.direct%3Don", self.url),
            false => format!("{} options='-c rederive.direct=on'", self.url),
        };
        Self { url, name: self.name.clone() }
    }

    fn of_settings(given: &str, options: &PostgresOptions) -> Self {
        let mut url = given.to_owned();
        for (setting, value) in settings(options) {
            if setting_in(given, setting).is_none() {
                let value = value.replace('\\', "\\\\").replace('\'', "\\'");
                url.push_str(&format!(" {setting}='{value}'"));
            }
        }
        let part = |setting: &str| setting_in(given, setting).unwrap_or_default();
        let host = if part("host").is_empty() { part("hostaddr") } else { part("host") };
        let port = part("port");
        let colon = if port.is_empty() { "" } else { ":" };
        Self { url, name: format!("postgres://{host}{colon}{port}/{}", part("dbname")) }
    }
}

/// What libpq is told, unless the URL says otherwise. A server that has gone without a word is noticed
/// within half a minute.
fn settings(options: &PostgresOptions) -> [(&'static str, String); 6] {
    [
        ("application_name", options.application_name.clone()),
        ("connect_timeout", options.connect_timeout.as_secs().max(1).to_string()),
        ("keepalives_idle", "15".to_owned()),
        ("keepalives_interval", "5".to_owned()),
        ("keepalives_count", "3".to_owned()),
        ("tcp_user_timeout", "30000".to_owned()),
    ]
}

/// The value of a setting in a connection string, without quotes.
fn setting_in<'g>(given: &'g str, setting: &str) -> Option<&'g str> {
    let after = given.match_indices(setting).find_map(|(at, _)| {
        let before = given[..at].chars().next_back();
        let after = given[at + setting.len()..].trim_start().strip_prefix('=')?;
        before.is_none_or(char::is_whitespace).then(|| after.trim_start())
    })?;
    match after.strip_prefix('\'') {
        Some(quoted) => quoted.split('\'').next(),
        None => after.split_whitespace().next(),
    }
}

fn percent_encoded(value: &str) -> String {
    value.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02x}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Target {
        Target::parse(text, &PostgresOptions::default()).expect("refused")
    }

    #[test]
    fn a_password_is_in_no_name() {
        for url in [
            "postgres://anna:se%40cret@db.example:5433/bank?sslmode=require",
            "postgresql://anna:secret@db.example:5433/bank?password=secret",
            "postgres://anna:se/cret@db.example:5433/bank",
            "host=db.example port=5433 dbname=bank user=anna password=secret",
            "password='se cret' host='db.example' port = 5433 dbname=bank",
        ] {
            let target = parse(url);
            assert_eq!(target.name, "postgres://db.example:5433/bank", "{url}");
            assert_eq!(format!("{target:?}"), "\"postgres://db.example:5433/bank\"");
            assert!(target.url.starts_with(url));
        }
    }

    #[test]
    fn what_the_url_sets_is_left_alone_and_the_rest_is_added() {
        let target = parse("postgres://db/bank?connect_timeout=3");
        assert_eq!(target.url.matches("connect_timeout").count(), 1);
        assert!(target.url.contains("&application_name=rederive&"), "{}", target.url);
        let target = parse("postgres://db/bank?");
        assert!(target.url.starts_with("postgres://db/bank?application_name="), "{}", target.url);
        let target = parse("host=db application_name=mine");
        assert_eq!(target.url.matches("application_name").count(), 1);
        assert!(target.url.contains(" connect_timeout='10'"), "{}", target.url);
    }

    #[test]
    fn what_cannot_be_a_url_is_refused_without_being_repeated() {
        for url in ["mysql://anna:secret@db/bank", "secret", "postgres://anna:sec@ret@db/bank", ""]
        {
            let refused = Target::parse(url, &PostgresOptions::default()).expect_err(url);
            assert!(matches!(refused, PostgresError::Url { .. }), "{refused}");
            assert!(!refused.to_string().contains("ret@"), "{refused}");
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
    }
}
