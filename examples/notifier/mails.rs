//! The notifier: which mails follow from which events, and how they are sent.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor, message::Mailbox,
    transport::smtp::Error,
};
use rederive::{DeliverError, DeliverySettings, Due, Effects, Notifier, prelude::*};
use serde::{Deserialize, Serialize};

/// Somebody has signed up.
#[derive(Serialize, Deserialize)]
pub(crate) struct SignedUp {
    /// Their address.
    pub(crate) mail: String,
}

/// A mail to be sent.
#[derive(Serialize, Deserialize)]
pub(crate) struct Welcome {
    to: String,
}

pub(crate) struct WelcomeMails {
    server: AsyncSmtpTransport<Tokio1Executor>,
}

impl WelcomeMails {
    /// Sends by the server at `HOST:PORT`, without encryption: it must be on this machine.
    pub(crate) fn new(server: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let (host, port) = server.rsplit_once(':').ok_or("the server is HOST:PORT")?;
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host);
        let server = builder.port(port.parse()?).timeout(Some(Duration::from_secs(10))).build();
        Ok(Self { server })
    }
}

/// The mail, with the key of the effect as its Message-Id: whoever receives it twice can tell.
fn message(due: &Due<Welcome>) -> Result<Message, Box<dyn std::error::Error>> {
    let to: Mailbox = due.effect.to.parse()?;
    let id = format!("<{}@rederive.example>", due.key.replace('/', "."));
    Ok(Message::builder()
        .from("welcome@rederive.example".parse()?)
        .to(to)
        .subject("Welcome")
        .message_id(Some(id))
        .body("Good to have you here.".to_owned())?)
}

impl Notifier for WelcomeMails {
    type Event = SignedUp;
    type Effect = Welcome;

    fn name(&self) -> &str {
        "welcome_mails"
    }

    fn partition(&self, event: &SignedUp) -> Partitions {
        (&event.mail).into()
    }

    fn notify(
        &self,
        event: &Recorded<SignedUp>,
        effects: &mut Effects<'_, Welcome>,
    ) -> Result<(), ReduceError> {
        effects.push(&Welcome { to: event.data.mail.clone() })
    }

    async fn deliver(&self, due: Due<Welcome>) -> Result<(), DeliverError> {
        // An address that is none will not become one.
        let message = message(&due).map_err(DeliverError::refuse)?;
        match self.server.send(message).await {
            Ok(_) => Ok(()),
            Err(error) if Error::is_permanent(&error) => Err(DeliverError::refuse(error)),
            Err(error) => Err(DeliverError::retry(error)),
        }
    }

    fn settings(&self) -> DeliverySettings {
        DeliverySettings {
            concurrency: 8,
            min_backoff: Duration::from_millis(100),
            ..DeliverySettings::default()
        }
    }
}
