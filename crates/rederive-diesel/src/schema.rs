//! The tables of Rederive, as Diesel sees them; `sqlite/ddl.rs` creates them.

diesel::table! {
    rederive_events (id) {
        id -> BigInt,
        event_type -> Nullable<Text>,
        event_version -> BigInt,
        stream -> Nullable<Text>,
        stream_version -> Nullable<BigInt>,
        time -> BigInt,
        data -> Text,
    }
}

diesel::table! {
    rederive_partitions (reducer, id) {
        reducer -> Text,
        id -> Text,
        cursor -> Text,
        halt_cursor -> Nullable<Text>,
        halt_kind -> Nullable<Text>,
        halt_message -> Nullable<Text>,
        halt_attempts -> Nullable<BigInt>,
        halt_time -> Nullable<BigInt>,
    }
}

diesel::table! {
    rederive_reducers (name) {
        name -> Text,
        version -> BigInt,
        epoch -> BigInt,
        revision -> BigInt,
        cursor -> Text,
        paused -> Bool,
        rebuild_to -> Nullable<Text>,
        owner -> Nullable<Text>,
        lease -> BigInt,
        lease_until -> BigInt,
    }
}

diesel::table! {
    rederive_silences (reducer, id) {
        reducer -> Text,
        id -> Nullable<Text>,
        cursor -> Text,
    }
}

diesel::table! {
    rederive_outbox (reducer, id, cursor, number) {
        reducer -> Text,
        id -> Text,
        cursor -> Text,
        number -> BigInt,
        effect -> Text,
        parked_kind -> Nullable<Text>,
        parked_message -> Nullable<Text>,
        parked_attempts -> Nullable<BigInt>,
        parked_time -> Nullable<BigInt>,
    }
}

diesel::table! {
    rederive_skips (reducer, cursor, partition_id) {
        reducer -> Text,
        cursor -> Text,
        partition_id -> Nullable<Text>,
        kind -> Text,
        message -> Text,
        attempts -> BigInt,
        time -> BigInt,
        by_operator -> Bool,
    }
}

diesel::table! {
    rederive_states (reducer, id) {
        reducer -> Text,
        id -> Text,
        cursor -> Text,
        state -> Text,
    }
}

diesel::table! {
    rederive_schema (version) {
        version -> BigInt,
    }
}

diesel::table! {
    rederive_tables (name) {
        name -> Text,
        reducer -> Text,
        created -> Bool,
        partition_column -> Nullable<Text>,
    }
}
