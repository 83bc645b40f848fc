//! The service: which charges follow from which orders, and how they are made.

use std::{fs::OpenOptions, io::Write as _, path::PathBuf, time::Duration};

use rederive::{DeliverError, DeliverySettings, Due, Effects, Service, prelude::*};
use serde::{Deserialize, Serialize};

/// What the log holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// Somebody has ordered something.
    Ordered { order: u64, customer: String, cents: u64 },
    /// The bank has paid.
    Paid { order: u64 },
    /// The bank has not paid, and never will.
    Declined { order: u64, why: String },
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Charge {
    order: u64,
    cents: u64,
}

/// Has the bank charge for each order, and records what it said.
pub(crate) struct Charges {
    /// What takes the place of a bank: a file with a line for each request. It is outside of our
    /// database, so a request may be made twice; it stands under the same key then.
    pub(crate) bank: PathBuf,
}

impl Charges {
    fn ask(&self, key: &str, charge: &Charge) -> std::io::Result<bool> {
        let mut bank = OpenOptions::new().create(true).append(true).open(&self.bank)?;
        // In one piece: whoever is killed leaves a whole line or none.
        bank.write_all(format!("{key} {} {}\n", charge.order, charge.cents).as_bytes())?;
        Ok(charge.cents <= 10_000)
    }
}

impl Service for Charges {
    type Event = Event;
    type Task = Charge;

    fn name(&self) -> &str {
        "charges"
    }

    /// A customer is charged for one order after the other.
    fn partition(&self, event: &Event) -> Partitions {
        match event {
            Event::Ordered { customer, .. } => customer.into(),
            Event::Paid { .. } | Event::Declined { .. } => Partitions::None,
        }
    }

    fn plan(
        &self,
        event: &Recorded<Event>,
        tasks: &mut Effects<'_, Charge>,
    ) -> Result<(), ReduceError> {
        match event.data {
            Event::Ordered { order, cents, .. } => tasks.push(&Charge { order, cents }),
            Event::Paid { .. } | Event::Declined { .. } => Ok(()),
        }
    }

    async fn serve(&self, due: Due<Charge>) -> Result<Vec<Event>, DeliverError> {
        let order = due.effect.order;
        let paid = self.ask(&due.key, &due.effect).map_err(DeliverError::retry)?;
        let declined = || Event::Declined { order, why: "the limit is 100.00".to_owned() };
        Ok(vec![if paid { Event::Paid { order } } else { declined() }])
    }

    fn settings(&self) -> DeliverySettings {
        DeliverySettings { min_backoff: Duration::from_millis(100), ..DeliverySettings::default() }
    }
}
