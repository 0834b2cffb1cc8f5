//! Seconds at their borders, and any command line.

use proptest::prelude::*;

use super::*;
use crate::argv;
use crate::refusal::refusal;

const A_DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug, clap::Parser)]
struct Args {
    #[arg(value_parser = seconds, allow_negative_numbers = true)]
    lease: Option<Duration>,
    #[command(flatten)]
    options: Options,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn a_number_is_taken_up_to_a_day(number in prop_oneof![any::<u64>(), 86_300_000..86_500_000_u64, 0..90_000_u64]) {
        let text = number.to_string();
        prop_assert_eq!(seconds(&text).ok(), Some(Duration::from_secs(number)).filter(|time| *time <= A_DAY));
        prop_assert_eq!(milliseconds(&text).ok(), Some(Duration::from_millis(number)).filter(|time| *time <= A_DAY));
        prop_assert_eq!(at_least_a_second(&text).ok(), seconds(&text).ok().filter(|time| !time.is_zero()));
    }

    #[test]
    fn nothing_but_digits_is_a_number(text in prop_oneof!["\\PC{0,12}", "[-+0-9 ._eEx]{0,8}", "[0-9]{18,24}"]) {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        for read in [seconds(&text), milliseconds(&text), at_least_a_second(&text)] {
            match read {
                Ok(time) => prop_assert!(digits && time <= A_DAY),
                // For a line about it: nothing of the text, which clap shows.
                Err(error) => prop_assert!(!error.is_empty() && !error.contains('\n')),
            }
        }
    }
}

#[test]
fn any_command_line_is_taken_as_it_has_to_be_or_refused_in_a_line() {
    let accepted = |args: Args| {
        let options = args.options;
        assert!(args.lease.is_none_or(|lease| lease <= A_DAY));
        assert!(options.wait_seconds <= A_DAY && options.grace_milliseconds <= A_DAY);
        let timeout = options.acquire_timeout();
        assert!(Duration::from_secs(1) <= timeout && timeout <= A_DAY);
        let questions = [options.status, options.health, options.break_token.is_some()];
        let asked = questions.iter().filter(|&&asked| asked).count();
        assert!(asked <= 1 && (asked == 0) == (options.task() == Task::Hold));
        assert!(asked == 0 || options.wait_seconds.is_zero(), "a question does not wait");
        assert!(!options.json || options.status || options.break_token.is_some());
    };
    argv::any(accepted, |error| refusal(error, false));
}
