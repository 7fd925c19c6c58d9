//! Which requests a new release gets: by cases in a file, and the draw by counting.

use tend_base::{Exposed, Random, Secret};
use tend_core::model::{Allow, AllowPlace};
use tend_routing::{Aim, SHARE_PERMILLE_MAX, Split};

use crate::lines;

fn split(share_permille: u32) -> Split {
    Split {
        share_permille,
        allow: Vec::new(),
        token: Exposed(Secret::new("s3cret".to_owned())),
    }
}

/// Reads `share 0, header NAME VALUE, cookie NAME VALUE`.
fn described(text: &str) -> Split {
    let mut found = split(0);
    for part in text.split(',') {
        let words: Vec<&str> = part.split_whitespace().collect();
        let place = match words[0] {
            "share" => {
                found.share_permille = words[1].parse().unwrap();
                continue;
            }
            "header" => AllowPlace::Header,
            "cookie" => AllowPlace::Cookie,
            other => panic!("{other}"),
        };
        found.allow.push(Allow {
            place,
            name: words[1].to_owned(),
            value: words.get(2).copied().unwrap_or_default().to_owned(),
        });
    }
    found
}

/// Asks for the aim of a request with these fields; the draw has this number.
fn aim(split: &Split, fields: &[(&str, &str)], number: u64) -> Aim {
    let fields = |name: &str, see: &mut dyn FnMut(&[u8]) -> bool| {
        fields.iter().any(|(key, value)| *key == name && see(value.as_bytes()))
    };
    split.aim(&fields, || number)
}

#[test]
fn each_request_has_the_aim_the_cases_say() {
    let mut current = split(0);
    let mut cases = 0;
    for (number, line) in lines(include_str!("cases/split.txt")) {
        if let Some(text) = line.strip_prefix("split ") {
            current = described(text);
            continue;
        }
        let (request, wanted) = line.split_once("=>").unwrap_or_else(|| panic!("line {number}: no =>"));
        let fields: Vec<(&str, &str)> = request
            .split('|')
            .filter_map(|field| field.split_once(':'))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let wanted = match wanted.trim() {
            "others" => Aim::Others,
            "candidate first" => Aim::CandidateFirst,
            "candidate only" => Aim::CandidateOnly,
            other => panic!("line {number}: {other}"),
        };
        assert_eq!(aim(&current, &fields, 0), wanted, "line {number}: {line}");
        cases += 1;
    }
    assert!(cases > 30, "{cases}");
}

/// Returns how many of a run of requests are drawn.
fn drawn(split: &Split, numbers: std::ops::Range<u64>) -> u64 {
    numbers
        .filter(|number| aim(split, &[], *number) == Aim::CandidateFirst)
        .count() as u64
}

#[test]
fn any_thousand_requests_in_a_row_have_the_share_give_or_take_one() {
    let mut random = Random::new(7);
    for share in 0..=SHARE_PERMILLE_MAX {
        let split = split(share);
        let begin = random.below(1 << 40);
        let count = drawn(&split, begin..begin + 1000);
        assert!(count.abs_diff(u64::from(share)) <= 1, "{share} from {begin}: {count}");
    }
}

#[test]
fn from_the_beginning_the_share_is_never_off_by_one() {
    let mut random = Random::new(11);
    for share in (0..40)
        .map(|_| random.below(1000) as u32)
        .chain([1, 10, 100, 500, 501, 999])
    {
        let split = split(share);
        let mut count = 0;
        for number in 0..3000 {
            count += drawn(&split, number..number + 1);
            let exact = (number + 1) * u64::from(share);
            assert!((count * 1000).abs_diff(exact) < 1000, "{share} after {number}: {count}");
        }
    }
}

#[test]
fn a_client_that_asks_in_a_rhythm_gets_its_share_at_every_beat() {
    for (share, period) in [(100, 10), (100, 5), (500, 2), (250, 4), (50, 20), (10, 100)] {
        let split = split(share);
        for beat in 0..period {
            let asked = 20_000;
            let count = (0..asked)
                .filter(|round| aim(&split, &[], round * period + beat) == Aim::CandidateFirst)
                .count();
            let wanted = asked as usize * share as usize / 1000;
            let off = count.abs_diff(wanted);
            // Five standard deviations of as many throws of a coin; without the scatter a beat would get all or nothing.
            let limit = 5 * (wanted as f64).sqrt() as usize;
            assert!(off <= limit, "{share} at beat {beat} of {period}: {count} of {wanted}");
        }
    }
}

#[test]
fn the_draw_is_asked_only_where_the_share_decides() {
    let mut listed = described("share 500, header x-canary yes");
    let nobody = || panic!("drawn");
    let fields = |name: &str, see: &mut dyn FnMut(&[u8]) -> bool| name == "x-canary" && see(b"yes");
    assert_eq!(listed.aim(&fields, nobody), Aim::CandidateFirst);
    listed.share_permille = 0;
    listed.allow.clear();
    assert_eq!(listed.aim(&fields, nobody), Aim::Others);
}

#[test]
fn who_asks_for_a_candidate_is_never_given_another() {
    for candidate in [false, true] {
        assert_eq!(Aim::CandidateOnly.allows(candidate), candidate);
        assert_eq!(Aim::Others.allows(candidate), !candidate);
        assert!(Aim::CandidateFirst.allows(candidate) && Aim::Any.prefers(candidate));
        assert_eq!(Aim::CandidateFirst.prefers(candidate), candidate);
    }
}

#[test]
fn a_split_does_not_show_its_token() {
    assert!(!format!("{:?}", split(1)).contains("s3cret"));
}
