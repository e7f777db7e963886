//! `ukvm-bench churn`, `memory` and `compute`.

use crate::{bench, each, guest, json, last_words, program, with_hello_as};
use nix::sys::signal::{Signal, killpg};
use serde_json::Value;
use ukvm_tests::files;
use ukvm_tests::processors::on_one_cpu;
use ukvm_tests::suite::Need;

ukvm_tests::tests! {
    lives_a_second;
    lives_a_second_on_one_cpu;
    memory_of_one_and_of_each_further_one;
    memory_of_an_app_that_ends;
    ctrl_c_that_reaches_the_guests_as_well .needs(&[Need::Program("setsid")]);
    computing_beside_the_same_object_code;
    a_guest_that_does_not_compute;
}

fn lives_a_second() {
    let directory = files::directory();
    let result = directory.path().join("a.json");
    let ended = bench(["churn", &program("hello.elf"), "--runs", "2", "--lives", "3"])
        .option("--json", &result)
        .finish()
        .status(0);
    let churn = &json(&result)["churn"];
    let cpus = json(&result)["machine"]["cpus"].as_u64().expect("a number");
    assert_eq!((churn["at_once"].as_u64(), churn["lives"].as_u64()), (Some(cpus), Some(3 * cpus)));
    for of in ["app_per_second", "floor_per_second"] {
        assert!(churn[of]["minimum"].as_f64() > Some(0.0), "{churn}");
    }
    assert!(
        ended.text().starts_with("churn, 2 rounds ") && ended.text().contains("hello.elf by start-floor")
    );
}

fn lives_a_second_on_one_cpu() {
    let directory = files::directory();
    let result = directory.path().join("a.json");
    let hello = program("hello.elf");
    let run = bench(["churn", &hello, "--runs", "1"]).option("--json", &result);
    let ended = on_one_cpu(|| run.finish())
        .status(0)
        .says(&["there is one CPU only", "nothing was measured in parallel"]);
    assert!(ended.text().contains("16 lives in each, 1 at once"), "{}", ended.text());
    let result = json(&result);
    assert_eq!(result["machine"]["cpus"].as_u64(), Some(1));
    assert!(result["notes"][0].as_str().expect("a note").contains("one CPU only"), "{result}");
}

fn memory_of_one_and_of_each_further_one() {
    let directory = files::directory();
    let result = directory.path().join("a.json");
    let ended = bench(["memory", &program("hello.elf"), "--runs", "2", "--guests", "5"])
        .option("--json", &result)
        .finish()
        .status(0)
        .says(&["ukvm-bench: memory of many, hello.elf: 5 of 5\n"]);
    assert!(ended.text().contains("each further one"), "{}", ended.text());
    let result = json(&result);
    for of in ["app", "floor"] {
        let cost = &result["memory"][of];
        let counts: Vec<_> =
            cost["many"].as_array().expect("many").iter().map(|many| &many["count"]).collect();
        assert_eq!(counts, [1, 2, 4, 5], "{cost}");
        let one = cost["own_bytes"]["median"].as_f64().expect("a size");
        let further = cost["further_bytes"].as_f64().expect("a size");
        assert!(
            one >= 4096.0 && further > 0.0 && cost["guest_bytes"]["median"].as_f64() >= Some(4096.0),
            "{cost}"
        );
    }
    for of in ["app", "floor"] {
        let cost = &result["memory"][of];
        let parts = cost["parts"].as_array().expect("parts").iter();
        let sum: f64 = parts.map(|part| part["bytes"].as_f64().expect("a size")).sum();
        let whole = cost["own_bytes"]["median"].as_f64().expect("a size");
        // Medians of each need not add up to that of all, but nearly do.
        assert!((sum - whole).abs() <= 0.2 * whole, "{cost}");
    }
    // A page of the program's file that a second one shares counts half in each.
    let app = &result["memory"]["app"];
    let all =
        app["own_bytes"]["median"].as_f64().zip(app["guest_bytes"]["median"].as_f64()).map(|(a, b)| a + b);
    assert!(app["further_bytes"].as_f64() < all, "{app}");
}

fn memory_of_an_app_that_ends() {
    let ended = bench(["memory"]).options([guest("status")]).finish().status(1);
    let sentence = last_words(&ended);
    let start = "status.elf ended with exit status: 0 before it printed anything; try it alone: ";
    let end = "; nothing of memory was measured; 1 figure was not measured";
    assert!(sentence.starts_with(start) && sentence.ends_with(end), "{sentence}");
    let row = "monitor memory, less what was touched of the guest: not measured: not reached: ";
    assert!(ended.text().starts_with(row), "{}", ended.text());
}

fn ctrl_c_that_reaches_the_guests_as_well() {
    let directory = files::directory();
    let result = directory.path().join("a.json");
    let setsid = files::program("setsid").expect("setsid");
    let run =
        bench([&program("ukvm-bench"), "memory", &program("hello.elf"), "--runs", "1", "--guests", "40"])
            .monitor(&setsid)
            .option("--json", &result)
            .start();
    run.wait_for_error("memory of many, hello.elf: 10 of 40");
    // As a terminal does: to the whole foreground.
    killpg(run.pid(), Signal::SIGINT).expect("a process group");
    let ended = run.wait().status(130);
    let sentence = last_words(&ended);
    assert!(sentence.starts_with("interrupted; the figures of fewer at once are kept"), "{sentence}");
    let result = json(&result);
    assert_eq!(result["complete"], Value::Bool(false));
    let many = result["memory"]["app"]["many"].as_array().expect("many");
    assert!(many.len() >= 4, "{many:?}");
}

fn computing_beside_the_same_object_code() {
    let directory = files::directory();
    let result = directory.path().join("a.json");
    let ended = bench(["compute", "--runs", "1"]).option("--json", &result).finish().status(0);
    let result = json(&result);
    assert_eq!(result["compute"]["kernels"].as_array().expect("kernels").len(), 4);
    let promises = each(&result["promises"], "name");
    for name in ["integers", "floating point", "random reads of 16 MiB"] {
        assert!(promises.contains(&format!("guest computing, {name}")), "{promises:?}");
    }
    assert_eq!(each(&result["promises"], "verdict").into_iter().collect::<Vec<_>>(), ["too-few-pairs"]);
    assert!(ended.text().contains("target ≥ 0.97: open: fewer than 100 pairs"), "{}", ended.text());
}

fn a_guest_that_does_not_compute() {
    let directory = with_hello_as("compute.elf", "compute-floor");
    let result = directory.path().join("a.json");
    let ended = bench(["compute"]).option("--programs", directory.path()).option("--json", &result);
    let ended = ended.finish().status(1).says(&["compute.elf ended with exit status: "]);
    let sentence = last_words(&ended);
    assert!(
        sentence.ends_with("; nothing of compute, integers was measured; 4 figures were not measured"),
        "{sentence}"
    );
    let result = json(&result);
    assert_eq!((each(&result["unmeasured"], "name").len(), result["complete"].as_bool()), (4, Some(false)));
}
