use rederive_testkit::for_each_seed;

use super::*;
use crate::ColumnKind::{
    Array, Binary, Custom, Date, Double, Integer, Json, Jsonb, Numeric, Text, Time, Timestamp,
    Timestamptz, Uuid,
};

fn canonical(kind: ColumnKind, text: &str) -> Option<String> {
    kind.canonical(text).map(Cow::into_owned)
}

#[track_caller]
fn all_become(kind: ColumnKind, texts: &[&str], expected: &str) {
    for text in texts.iter().chain([&expected]) {
        assert_eq!(canonical(kind, text).as_deref(), Some(expected), "{text}");
    }
    assert!(kind.takes(&Value::from(expected)));
}

#[track_caller]
fn none_is_taken(kind: ColumnKind, texts: &[&str]) {
    for text in texts {
        assert_eq!(canonical(kind, text), None, "{text}");
        assert!(!kind.takes(&Value::from(*text)));
    }
}

#[test]
fn equal_numbers_are_equal_texts() {
    all_become(Numeric, &["-0", "+0", "00", "0.00", ".0", "0.", "0e99999999", "-0e-5"], "0");
    all_become(Numeric, &["1.50", "01.5", "+1.5", "15e-1", ".15E1", "1500e-3", "1.5e0"], "1.5");
    all_become(Numeric, &["-1e3", "-1.e+3", "-1000.0"], "-1000");
    all_become(Numeric, &["1e-3", "0.0010"], "0.001");
    let (whole, part) = ("9".repeat(131_072), "9".repeat(16_383));
    all_become(Numeric, &[], &format!("{whole}.{part}"));
    none_is_taken(
        Numeric,
        &["", "-", ".", "1,5", " 1", "1 ", "0x1", "NaN", "inf", "1e", "e1", "--1"],
    );
    none_is_taken(
        Numeric,
        &["1e131072", "1e-16384", "1e9223372036854775808", "1e-9223372036854775808"],
    );
    none_is_taken(Numeric, &[&format!("{whole}0"), &format!("0.{part}9"), "١"]);
}

#[test]
fn decimal_numbers_are_added_as_whole_numbers_are() {
    for_each_seed(0..200, 200, |rng| {
        let mut random = || {
            let digits = rng.range(0..17);
            let whole = (0..digits).fold(0, |number, _| number * 10 + rng.range(0..10) as i128);
            let (sign, scale) = (if rng.chance(0.5) { -1 } else { 1 }, rng.range(0..12));
            (sign * whole, scale)
        };
        let text = |number: i128, scale: usize| format!("{number}e-{scale}");
        let ((a, a_scale), (b, b_scale)) = (random(), random());
        let scale = a_scale.max(b_scale);
        let raised = |number: i128, from: usize| number * 10_i128.pow((scale - from) as u32);
        let sum = raised(a, a_scale) + raised(b, b_scale);
        let [a, b] = [(a, a_scale), (b, b_scale)].map(|(number, scale)| text(number, scale));
        let parse = |text: &str| Decimal::parse(text).expect("it is a number");
        let added = parse(&a).add(&parse(&b)).expect("it is small");
        assert_eq!(added, parse(&text(sum, scale)), "{a} + {b}");
        let written = added.to_string();
        assert_eq!(canonical(Numeric, &written), Some(written.clone()));
        assert_eq!(parse(&written), added);
    });
    let most = Decimal::parse(&"9".repeat(131_072)).expect("it is just possible");
    assert_eq!(most.add(&Decimal::parse("1").expect("it is a number")), None);
}

#[test]
fn a_uuid_is_written_in_one_way() {
    let expected = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    all_become(
        Uuid,
        &[
            "67E55044-10B1-426F-9247-BB680E5FE0C8",
            "67e5504410b1426f9247bb680e5fe0c8",
            "{67e55044-10b1-426f-9247-bb680e5fe0c8}",
            "urn:uuid:67e55044-10b1-426f-9247-bb680e5fe0c8",
        ],
        expected,
    );
    all_become(Uuid, &[], "00000000-0000-0000-0000-000000000000");
    let bytes = 0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8_u128.to_be_bytes();
    assert_eq!(Value::from(&bytes[..]).read_as(Uuid), expected.into());
    none_is_taken(
        Uuid,
        &[
            "",
            "67e55044-10b1-426f-9247-bb680e5fe0c",
            "67e55044-10b1-426f-9247-bb680e5fe0c88",
            "67e5504-410b1-426f-9247-bb680e5fe0c8",
            "+7e5504410b1426f9247bb680e5fe0c8",
            "{67e55044-10b1-426f-9247-bb680e5fe0c8",
            "g7e55044-10b1-426f-9247-bb680e5fe0c8",
        ],
    );
}

#[test]
fn a_point_in_time_is_written_in_utc() {
    let expected = "2026-11-23T13:29:22.120Z";
    all_become(
        Timestamptz,
        &[
            "2026-11-23 13:29:22.12+00",
            "2026-11-23T13:29:22.120000+00:00",
            "2026-11-23t13:29:22.12z",
            "2026-11-23T13:29:22.12",
            "2026-11-23T14:29:22.12000099+0100",
            "2026-11-23T15:59:22.12+02:30",
            "2026-11-24 00:29:22.12 +11:00:00",
            "2026-11-22T14:44:22.12-22:45",
            "2026-11-23T14:29:22.12+01:00[Europe/Rome]",
        ],
        expected,
    );
    all_become(Timestamptz, &["1890-01-01 00:53:28+00:53:28"], "1890-01-01T00:00:00Z");
    all_become(Timestamptz, &["2023-12-31T23:30:00-00:30"], "2024-01-01T00:00:00Z");
    none_is_taken(
        Timestamptz,
        &[
            "2026-11-23T13:29:22+24",
            "2026-11-23T13:29:22+1",
            "2026-11-23T13:29:22 Europe/Rome",
            "0001-01-01T00:00:00+01",
            "9999-12-31T23:59:59-01",
            "infinity",
        ],
    );
}

#[test]
fn dates_and_times_are_those_of_the_calendar() {
    all_become(
        Timestamp,
        &["2026-11-23 13:29", "2026-11-23T13:29:00.0000009"],
        "2026-11-23T13:29:00",
    );
    all_become(Timestamp, &["0001-01-01 00:00"], "0001-01-01T00:00:00");
    all_become(Timestamp, &["1969-12-31 23:59:59.999999"], "1969-12-31T23:59:59.999999");
    all_become(Date, &[], "2024-02-29");
    all_become(Time, &["13:29:22.1200", "13:29:22.12"], "13:29:22.120");
    all_become(Time, &["13:29:22.120001"], "13:29:22.120001");
    none_is_taken(
        Date,
        &[
            "2023-02-29",
            "1900-02-29",
            "2026-11-31",
            "2026-1-1",
            "2026-00-10",
            "2026-10-00",
            "0000-01-01",
            "12026-01-01",
            "-001-01-01",
            "20260101",
            "2026-11-23 ",
            "today",
        ],
    );
    none_is_taken(
        Time,
        &["24:00", "23:60", "23:59:60", "1:00", "13", "13:29:22.", "13:29:22Z", "13:29:22.1x"],
    );
    none_is_taken(
        Timestamp,
        &["2026-11-23", "2026-11-23T13:29:22Z", "2026-11-23  13:29", "2026-11-23T25:00"],
    );
    // Each day of some centuries is the one after the day before.
    let (mut year, mut month, mut day) = (1896, 1, 1);
    for _ in 0..120_000 {
        let text = format!("{year:04}-{month:02}-{day:02}");
        assert_eq!(canonical(Date, &text), Some(text.clone()));
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let next = format!("{text}T23:30:00-01:00");
        day += 1;
        if day > length[month - 1] {
            (month, day) = (month + 1, 1);
        }
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
        let expected = format!("{year:04}-{month:02}-{day:02}T00:30:00Z");
        assert_eq!(canonical(Timestamptz, &next), Some(expected));
    }
}

#[test]
fn json_is_kept_as_it_is_or_brought_into_order() {
    let text = r#" { "b" : [ 1.50, "\u0061" ],"a":{}, "a": null } "#;
    assert_eq!(Json.canonical(text), Some(Cow::Borrowed(text)));
    all_become(Jsonb, &[text], r#"{"a":null,"b":[1.50,"a"]}"#);
    all_become(Jsonb, &[" 1e2 "], "1e2");
    for kind in [Json, Jsonb] {
        none_is_taken(kind, &["", "{", "nul", "'a'", "{}x", "[1,]"]);
        // What a database may hold as a number all the same.
        assert_eq!(Value::from(12).read_as(kind), "12".into());
        assert_eq!(Value::from(0.5).read_as(kind), "0.5".into());
    }
    // As deep as may be, and no deeper; a database's own limits are its business.
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    all_become(Jsonb, &[], &nested(100));
    none_is_taken(Jsonb, &[&nested(200), &nested(1_000_000)]);
}

#[test]
fn arrays_are_read_and_written_element_by_element() {
    let texts = Array(&Text);
    all_become(texts, &[r#" [ "a" , null,"\u0062" ] "#], r#"["a",null,"b"]"#);
    all_become(Array(&Integer), &["[ ]"], "[]");
    all_become(Array(&Numeric), &["[1.50, 15e-1, \"1.5\"]"], r#"["1.5","1.5","1.5"]"#);
    all_become(Array(&Timestamptz), &[r#"["2026-11-23 13:29+00"]"#], r#"["2026-11-23T13:29:00Z"]"#);
    all_become(Array(&Jsonb), &[r#"[{"b":1, "a": []}, "x"]"#], r#"[{"a":[],"b":1},"x"]"#);
    none_is_taken(texts, &["", "{}", "[1]", "[\"a\""]);
    none_is_taken(Array(&Integer), &["[2147483648]", "[1.5]", "[\"1\"]"]);
    none_is_taken(Array(&Array(&Integer)), &["[[1]]"]);
    let same = |kind: ColumnKind, values: &[Value]| {
        let text = kind.array_text(values).expect("they are elements");
        assert_eq!(kind.array_elements(&text).as_deref(), Some(values), "{text}");
        assert_eq!(kind.canonical(&text), Some(Cow::Borrowed(text.as_str())));
    };
    same(Array(&Binary), &[vec![0_u8, 255, 16].into(), Value::Null, Vec::<u8>::new().into()]);
    same(
        Array(&Double),
        &[0.1.into(), f64::INFINITY.into(), f64::NEG_INFINITY.into(), 5e-324.into()],
    );
    same(Array(&Custom("mood")), &["it's \"\\{},".into(), "null".into(), "".into()]);
    assert_eq!(Array(&Double).array_text(&[f64::NAN.into()]), None);
    assert_eq!(texts.array_text(&[1.into()]), None);
    assert_eq!(Text.array_text(&[]), None);
}

#[test]
fn what_a_database_holds_in_its_own_way_is_read_as_what_was_written() {
    assert_eq!(Value::from(12).read_as(Numeric), "12".into());
    assert_eq!(Value::from(-0.1).read_as(Numeric), "-0.1".into());
    assert_eq!(Value::from(1e-7).read_as(Numeric), "0.0000001".into());
    assert_eq!(
        Value::from("2026-11-23 13:29:22+00:00").read_as(Timestamptz),
        "2026-11-23T13:29:22Z".into()
    );
    for odd in [Value::from("soon"), 7.into(), vec![1_u8].into(), f64::INFINITY.into()] {
        assert_eq!(odd.clone().read_as(Timestamp), odd);
    }
    assert_eq!(Value::Null.read_as(Numeric), Value::Null);
}
