//! [`RowFn`]: a change of a row that is computed from its values.

use std::{any::TypeId, fmt, sync::Arc};

use crate::{ReduceError, Value};

/// A function over the values of a row, one per column of the table.
///
/// It must be pure: it runs while the transaction does, and again when that has to be repeated, so it
/// must depend on nothing but the values (and what it has captured) and must not use the store.
///
/// ```
/// use rederive_core::{Change, RowFn, Value};
///
/// // The second column becomes the longest text that it ever was.
/// let name = "Alexandra".to_owned();
/// let keep_longest = Change::Modify(RowFn::new(move |row| {
///     if !matches!(&row[1], Value::Text(old) if old.len() >= name.len()) {
///         row[1] = Value::from(&name);
///     }
///     Ok(())
/// }));
/// # let _ = keep_longest;
/// ```
#[derive(Clone)]
pub struct RowFn(Arc<dyn Function>);

trait Function: Send + Sync {
    fn call(&self, row: &mut [Value]) -> Result<(), ReduceError>;

    /// Which code it is.
    fn code(&self) -> TypeId;
}

impl<F> Function for F
where
    F: Fn(&mut [Value]) -> Result<(), ReduceError> + Send + Sync + 'static,
{
    fn call(&self, row: &mut [Value]) -> Result<(), ReduceError> {
        self(row)
    }

    fn code(&self) -> TypeId {
        TypeId::of::<F>()
    }
}

impl RowFn {
    /// A change by this function. An error of it rejects the event.
    pub fn new(
        function: impl Fn(&mut [Value]) -> Result<(), ReduceError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(function))
    }

    pub(super) fn call(&self, row: &mut [Value]) -> Result<(), ReduceError> {
        self.0.call(row)
    }
}

impl fmt::Debug for RowFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowFn")
    }
}

/// Equal when they are the same code: what it has captured cannot be compared.
impl PartialEq for RowFn {
    fn eq(&self, other: &Self) -> bool {
        self.0.code() == other.0.code()
    }
}

impl Eq for RowFn {}
