//! The suite for stores.
//!
//! A store is handed to it with three empty tables of given shapes. A store in a database creates
//! them by [`CREATE_TABLES`]; see [`StoreUnderTest`] for the rest.

pub mod arrays;
pub mod changes;
pub mod committing;
pub mod fencing;
pub mod halting;
pub mod leasing;
pub mod loading;
pub mod modifying;
pub mod opening;
pub mod rebuilding;
pub mod outbox;
pub mod recording;
pub mod replacing;
pub mod selecting;
pub mod pausing;
pub mod sequences;
pub mod skipping;
pub mod values;
mod owner;
mod random_ops;
mod scene;

use std::{thread, time::Duration};

use rederive_core::{ColumnKind, MemoryStore, Store, Table, Value};

use super::{Check, checks, run_all};

/// A table with a column of each kind. All columns but the key may be `NULL` and have no default.
pub static THINGS: Table = Table::new(
    "things",
    &[
        ("id", ColumnKind::Text),
        ("small", ColumnKind::SmallInt),
        ("middle", ColumnKind::Integer),
        ("big", ColumnKind::BigInt),
        ("real", ColumnKind::Double),
        ("flag", ColumnKind::Bool),
        ("name", ColumnKind::Text),
        ("data", ColumnKind::Binary),
    ],
    &[0],
);

/// A table with a key of two columns, not in their order, between which another stands.
pub static PLACES: Table = Table::new(
    "places",
    &[("y", ColumnKind::Text), ("n", ColumnKind::BigInt), ("x", ColumnKind::BigInt)],
    &[2, 0],
);

/// A table that is all key.
pub static TAGS: Table = Table::new("tags", &[("tag", ColumnKind::Text)], &[0]);

/// The tables in SQL: as it is for SQLite, with `BYTEA` in place of `BLOB` for PostgreSQL.
pub const CREATE_TABLES: &str = "
    CREATE TABLE things (
        id TEXT PRIMARY KEY NOT NULL,
        small SMALLINT,
        middle INTEGER,
        big BIGINT,
        real DOUBLE PRECISION,
        flag BOOLEAN,
        name TEXT,
        data BLOB
    );
    CREATE TABLE places (y TEXT NOT NULL, n BIGINT, x BIGINT NOT NULL, PRIMARY KEY (x, y));
    CREATE TABLE tags (tag TEXT PRIMARY KEY NOT NULL);
";

/// A store and how its rows are read.
///
/// The tables that the methods name have the columns of [`THINGS`], [`PLACES`] and [`TAGS`], under
/// these names and in this order.
pub trait StoreUnderTest: Send + Sync + 'static {
    /// The store.
    type Store: Store;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// All rows of one of the tables, in any order: a value per column, of the column's kind.
    fn rows(&self, table: &'static Table) -> Vec<Vec<Value>>;

    /// What the store takes for [`THINGS`].
    fn things(&self) -> &'static Table {
        &THINGS
    }

    /// What the store takes for [`PLACES`].
    fn places(&self) -> &'static Table {
        &PLACES
    }

    /// The database's type for bytes, in SQL.
    fn binary(&self) -> &str {
        "BLOB"
    }

    /// What the store takes for [`TAGS`].
    fn tags(&self) -> &'static Table {
        &TAGS
    }

    /// Lets so much time pass by the clock that measures leases: by waiting, unless the store has a
    /// clock that can be put forward.
    fn elapse(&self, time: Duration) {
        thread::sleep(time);
    }
}

impl StoreUnderTest for MemoryStore {
    type Store = Self;

    fn store(&self) -> &Self {
        self
    }

    fn rows(&self, table: &'static Table) -> Vec<Vec<Value>> {
        MemoryStore::rows(self, table)
    }

    fn elapse(&self, time: Duration) {
        self.advance(time);
    }
}

/// Holds the stores that `make` makes, each of them new and with empty tables, to every promise.
///
/// # Panics
/// When a promise is broken, with its name.
#[track_caller]
pub fn exercise<T: StoreUnderTest>(make: impl Fn() -> T) {
    run_all(all(), make);
}

/// Every promise.
pub fn all<T: StoreUnderTest>() -> Vec<Check<T>> {
    checks![
        opening::a_new_reducer_stands_at_the_start,
        opening::a_new_reducer_may_begin_later,
        opening::progress_is_there_when_a_reducer_is_opened_again,
        opening::reducers_of_one_store_do_not_share_progress,
        opening::a_reducer_may_have_any_name,
        opening::another_version_is_refused_and_nothing_is_changed,
        opening::a_log_of_another_kind_is_refused_and_nothing_is_changed,
        opening::rows_ahead_of_the_watermark_tell_the_kind_of_the_log_too,
        opening::handles_of_one_store_have_one_identity,
        fencing::an_unknown_reducer_has_no_revision_and_cannot_be_written,
        fencing::opening_a_reducer_fences_its_previous_owner,
        fencing::only_the_stored_revision_can_commit,
        fencing::one_fenced_reducer_keeps_the_whole_transaction_out,
        fencing::of_many_that_open_a_reducer_at_once_the_last_can_commit,
        fencing::of_many_that_commit_at_once_with_one_revision_one_succeeds,
        fencing::an_event_at_or_below_the_row_of_its_partition_is_fenced,
        fencing::the_guard_compares_cursors_by_their_kind,
        fencing::of_thousands_of_partitions_each_has_its_guard,
        leasing::who_has_a_valid_lease_keeps_the_reducer,
        leasing::a_lease_that_has_run_out_keeps_nobody_away,
        leasing::an_owner_whose_lease_has_run_out_goes_on_until_it_is_taken_over,
        leasing::a_commit_renews_the_lease,
        leasing::a_lease_is_renewed_by_who_has_the_epoch,
        leasing::who_was_taken_over_renews_and_releases_nothing,
        leasing::a_released_reducer_is_free_at_once,
        leasing::an_owner_may_come_back_under_its_name,
        leasing::who_takes_from_one_who_died_takes_it_from_that_one,
        leasing::who_takes_from_anybody_waits_for_nobody,
        leasing::a_claim_of_no_time_holds_nothing,
        leasing::of_many_that_want_a_free_reducer_one_gets_it,
        leasing::what_is_wrong_with_an_opening_is_said_before_whose_it_is,
        leasing::an_owner_may_have_any_name,
        leasing::rows_of_partitions_are_read_by_their_ids,
        leasing::a_store_tells_whether_events_were_skipped,
        committing::a_commit_raises_the_revision_and_stores_the_watermark,
        committing::a_transaction_may_store_only_a_watermark,
        committing::one_transaction_commits_several_reducers,
        committing::a_rejected_op_takes_the_whole_transaction_back,
        committing::a_custom_op_that_is_not_known_is_rejected,
        committing::one_transaction_may_hold_thousands_of_partitions,
        committing::writers_of_different_reducers_work_at_the_same_time,
        committing::nothing_to_write_is_no_error,
        recording::a_partition_has_a_row_only_if_that_is_asked_for,
        recording::a_row_is_replaced_by_the_next_record,
        recording::rows_that_say_no_more_than_the_watermark_are_removed_when_opened,
        recording::a_partition_may_have_any_id,
        recording::cursors_are_stored_as_they_are_and_ordered_by_their_kind,
        halting::a_halt_is_stored_with_everything_it_says,
        halting::a_halt_outlives_the_watermark_and_is_taken_back_by_a_record,
        halting::halted_partitions_are_listed_in_order_page_by_page,
        halting::only_halted_partitions_of_the_reducer_are_listed,
        outbox::effects_are_read_in_the_order_of_their_keys,
        outbox::effects_are_marked_in_one_transaction,
        outbox::the_outbox_is_fenced_by_the_epoch,
        outbox::a_forgotten_reducer_has_no_effects,
        outbox::what_was_emitted_before_a_reset_is_not_emitted_again,
        outbox::a_rejected_commit_leaves_no_effect,
        outbox::parked_effects_are_listed_redelivered_and_dropped,
        skipping::a_skip_is_stored_with_everything_it_says,
        skipping::skips_are_listed_in_order_page_by_page,
        skipping::the_skips_of_one_event_are_found,
        skipping::a_skip_of_the_reducer_is_recorded_with_the_watermark,
        skipping::a_rejected_commit_records_no_skip,
        skipping::thousands_of_skips_fit_in_one_transaction,
        pausing::a_pause_is_there_when_the_reducer_is_opened_again,
        pausing::a_pause_fences_nobody,
        rebuilding::a_reset_empties_the_tables_and_forgets_all_progress,
        rebuilding::a_reset_leaves_alone_what_is_not_the_reducers,
        rebuilding::a_reducer_is_rebuilding_until_the_watermark_reaches_the_target,
        rebuilding::the_target_is_compared_as_a_cursor,
        rebuilding::a_rebuild_with_nothing_to_do_is_over_at_once,
        rebuilding::a_reducer_that_is_not_known_can_be_reset,
        rebuilding::a_reset_forgets_the_kind_of_the_log,
        rebuilding::a_table_that_the_reducer_creates_is_created_once,
        rebuilding::a_table_of_another_reducer_is_refused,
        rebuilding::what_is_forgotten_leaves_nothing_behind,
        rebuilding::a_declaration_that_cannot_be_is_refused,
        rebuilding::a_partition_can_be_reset_alone,
        changes::an_insert_makes_a_row_and_leaves_other_columns_empty,
        changes::an_insert_is_rejected_when_the_key_exists,
        changes::an_insert_new_does_nothing_when_the_key_exists,
        changes::an_upsert_makes_a_row_or_changes_the_named_columns,
        changes::an_update_changes_the_named_columns,
        changes::an_update_is_rejected_when_no_row_has_the_key,
        changes::an_increment_adds_to_the_column,
        changes::an_increment_counts_null_as_zero,
        changes::an_increment_is_rejected_when_no_row_has_the_key,
        changes::an_increment_is_rejected_when_the_column_would_overflow,
        changes::an_overflow_on_the_way_is_rejected_too,
        changes::a_delete_removes_the_row_if_there_is_one,
        changes::rows_are_told_apart_by_every_column_of_the_key,
        changes::a_table_may_be_all_key,
        replacing::a_merge_makes_a_row_or_changes_the_named_columns,
        replacing::a_replaced_row_is_exactly_the_new_one,
        replacing::rows_of_a_key_of_two_columns_are_replaced_and_merged,
        replacing::a_row_that_is_all_key_can_be_replaced_and_merged,
        modifying::a_row_is_modified_by_a_function_of_its_values,
        modifying::a_function_sees_what_the_ops_before_it_left,
        modifying::a_function_may_run_again_when_its_transaction_was_taken_back,
        modifying::a_modification_is_rejected_when_no_row_has_the_key,
        modifying::a_function_that_fails_or_panics_rejects_its_transaction,
        modifying::a_function_cannot_change_the_key_nor_the_type_of_a_value,
        modifying::rows_of_many_partitions_are_modified_in_one_write,
        arrays::an_element_is_added_to_an_array_once,
        arrays::an_element_is_deleted_from_an_array_wherever_it_is,
        arrays::elements_are_equal_when_their_json_is,
        arrays::an_array_that_does_not_change_is_left_to_the_byte,
        arrays::what_is_no_array_is_rejected_with_table_column_and_key_named,
        arrays::an_array_op_is_rejected_when_no_row_has_the_key,
        selecting::rows_are_updated_by_their_values,
        selecting::rows_are_incremented_by_their_values,
        selecting::rows_are_deleted_by_their_values,
        selecting::null_selects_rows_without_a_value,
        selecting::a_column_of_the_key_selects_too,
        selecting::selecting_no_row_changes_nothing,
        selecting::rows_are_selected_as_the_ops_before_left_them,
        selecting::an_increment_that_overflows_in_one_of_the_rows_is_rejected,
        selecting::partitions_select_their_own_rows_in_one_write,
        sequences::ops_on_one_key_are_applied_in_order,
        sequences::an_op_is_judged_by_the_rows_as_the_ops_before_it_left_them,
        sequences::many_rows_of_many_tables_change_in_one_write,
        sequences::any_ops_lead_to_the_rows_they_should,
        loading::rows_are_loaded_in_the_order_asked_for,
        loading::a_row_is_loaded_as_it_is,
        loading::a_state_is_stored_replaced_and_removed,
        loading::states_are_listed_in_order_page_by_page,
        loading::a_state_of_another_type_is_an_error,
        values::values_of_every_kind_are_stored_as_they_are,
        values::null_is_a_value,
        values::keys_of_any_text_are_told_apart,
    ]
}
