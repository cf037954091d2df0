//! The tables of the store as diesel sees them: those that its query builder reads or writes.
//!
//! migrations/sqlite says what the columns mean and in which units they are, and has the tables that are only written and read by SQL text
//! (plan_shapes, query_stats, query_stats_daily, query_users) and the views.

diesel::table! {
    servers (id) {
        id -> BigInt,
        name -> Text,
        first_seen -> Nullable<BigInt>,
        last_seen -> Nullable<BigInt>,
        log_line_prefix -> Nullable<Text>,
        pairing -> Nullable<Binary>,
        ingest_claim -> BigInt,
    }
}

diesel::table! {
    generations (server_id, id) {
        server_id -> BigInt,
        id -> BigInt,
        path -> Text,
        device -> BigInt,
        inode -> BigInt,
        size_bytes -> BigInt,
        modified_us -> BigInt,
        format -> Text,
        codec -> Text,
        head_len_bytes -> BigInt,
        head_hash -> Binary,
        state -> Text,
    }
}

diesel::table! {
    checkpoints (server_id, generation_id) {
        server_id -> BigInt,
        generation_id -> BigInt,
        offset_bytes -> BigInt,
        anchor_hash -> Binary,
        ladder -> Binary,
    }
}

diesel::table! {
    gaps (server_id, generation_id, from_bytes) {
        server_id -> BigInt,
        generation_id -> BigInt,
        from_bytes -> BigInt,
        to_bytes -> Nullable<BigInt>,
        reason -> Text,
        detected_at -> BigInt,
    }
}

diesel::table! {
    ingest_counts (server_id, counter, key) {
        server_id -> BigInt,
        counter -> Text,
        key -> Text,
        count -> BigInt,
        sum_ms -> Double,
    }
}

diesel::table! {
    queries (server_id, id) {
        server_id -> BigInt,
        id -> BigInt,
        database_name -> Text,
        normalized_sql -> Text,
        server_query_id -> Nullable<BigInt>,
        first_seen -> BigInt,
        last_seen -> BigInt,
        calls -> BigInt,
        failed -> BigInt,
        timed_calls -> BigInt,
        total_ms -> Double,
        max_ms -> Nullable<Double>,
        estimated_calls -> Double,
        weighed_calls -> BigInt,
    }
}

diesel::table! {
    executions (server_id, started_at, id) {
        server_id -> BigInt,
        started_at -> BigInt,
        id -> BigInt,
        query_id -> BigInt,
        generation_id -> BigInt,
        offset_bytes -> BigInt,
        kind -> Text,
        user_name -> Nullable<Text>,
        application_name -> Nullable<Text>,
        process_id -> Nullable<BigInt>,
        session_id -> Nullable<Text>,
        duration_ms -> Nullable<Double>,
        duration_source -> Nullable<Text>,
        parse_ms -> Nullable<Double>,
        bind_ms -> Nullable<Double>,
        rows -> Nullable<Double>,
        sql_state -> Nullable<Text>,
        failed -> Bool,
        parent_id -> Nullable<BigInt>,
        server_query_id -> Nullable<BigInt>,
        plan_count -> BigInt,
        open -> Bool,
        time_assumed -> Bool,
        call_function -> Nullable<Text>,
        call_line -> Nullable<BigInt>,
        call_depth -> Nullable<BigInt>,
        nested_count -> BigInt,
        weight -> Nullable<Double>,
        tags -> Nullable<Text>,
        statement -> Nullable<Text>,
        parameters -> Nullable<Text>,
    }
}

diesel::table! {
    plans (server_id, started_at, execution_id, ordinal) {
        server_id -> BigInt,
        started_at -> BigInt,
        execution_id -> BigInt,
        ordinal -> BigInt,
        query_id -> BigInt,
        shape -> BigInt,
        duration_ms -> Double,
        format -> Text,
        document -> Binary,
    }
}

diesel::table! {
    analyses (server_id, started_at, execution_id) {
        server_id -> BigInt,
        started_at -> BigInt,
        execution_id -> BigInt,
        query_id -> BigInt,
        execution_time_ms -> Nullable<Double>,
        seq_scan_detected -> Nullable<Bool>,
        severity -> Nullable<BigInt>,
    }
}

diesel::table! {
    findings (server_id, started_at, execution_id, ordinal) {
        server_id -> BigInt,
        started_at -> BigInt,
        execution_id -> BigInt,
        ordinal -> BigInt,
        rule -> Text,
        severity -> BigInt,
        plan_ordinal -> BigInt,
        node_path -> Nullable<Text>,
        message -> Text,
        not_decidable -> Nullable<Text>,
    }
}

diesel::table! {
    breaches (server_id, id) {
        server_id -> BigInt,
        id -> BigInt,
        query_id -> BigInt,
        kind -> Text,
        opened_at -> BigInt,
        closed_at -> Nullable<BigInt>,
        execution_id -> BigInt,
        execution_started_at -> BigInt,
        severity -> BigInt,
        message -> Text,
    }
}

diesel::table! {
    recommendations (server_id, id) {
        server_id -> BigInt,
        id -> BigInt,
        query_id -> BigInt,
        created_at -> BigInt,
        source -> Text,
        kind -> Text,
        rules -> Text,
        severity -> BigInt,
        confidence_score -> Nullable<Double>,
        verification -> Text,
        summary -> Text,
        explanation -> Text,
        disproof -> Nullable<Text>,
        command -> Nullable<Text>,
    }
}

diesel::table! {
    advice_jobs (server_id, id) {
        server_id -> BigInt,
        id -> BigInt,
        query_id -> BigInt,
        breach_id -> BigInt,
        execution_id -> BigInt,
        execution_started_at -> BigInt,
        state -> Text,
        attempts -> BigInt,
        reason -> Nullable<Text>,
        created_us -> BigInt,
        locked_until_us -> Nullable<BigInt>,
        run_after_us -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(generations, checkpoints);
