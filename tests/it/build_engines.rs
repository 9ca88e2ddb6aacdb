//! `devnet build` on an engine that dies or runs out of room: a failed build, its tag where it
//! was, and an engine that builds again.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use crate::support::engines::Engine;
use crate::support::{Output, Sandbox, testbed, until};

fn context(sandbox: &Sandbox, dockerfile: &str) -> std::path::PathBuf {
    let context = sandbox.home().join("context");
    fs::create_dir_all(context.join("bin")).unwrap();
    fs::copy("/bin/busybox", context.join("bin/busybox")).unwrap();
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    context
}

fn build(sandbox: &Sandbox, engine: &Engine, context: &Path, arguments: &[&str]) -> Output {
    let url = engine.url();
    let mut all = vec!["-H", &url, "build"];
    all.extend(arguments);
    all.push(context.to_str().unwrap());
    sandbox.devnet(&all)
}

fn id(engine: &Engine, image: &str) -> String {
    engine
        .docker(&["image", "inspect", "-f", "{{.Id}}", image])
        .ok()
}

#[test]
fn an_engine_that_is_killed_in_a_build_leaves_the_tag_where_it_was() {
    let Some(testbed) = testbed() else { return };
    let engine = Engine::start(&testbed, "build-dies");
    let sandbox = Sandbox::bare();
    let context = context(&sandbox, "FROM scratch\nCOPY bin /bin\n");
    build(&sandbox, &engine, &context, &["-q", "-t", "app:1"]).ok();
    let before = id(&engine, "app:1");
    let sleep = "FROM scratch\nCOPY bin /bin\nRUN [\"/bin/busybox\", \"sleep\", \"77\"]\n";
    fs::write(context.join("Dockerfile"), sleep).unwrap();
    let mut command = sandbox.devnet_command(&["-H", &engine.url(), "build", "-t", "app:1"]);
    let child = command
        .args(["--network", "none", "--progress", "plain"])
        .arg(&context)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let sleeps = || {
        fs::read_dir("/proc").unwrap().flatten().find(|process| {
            fs::read(process.path().join("cmdline"))
                .is_ok_and(|line| line.starts_with(b"/bin/busybox\0sleep\x0077\0"))
        })
    };
    until("the step runs", || sleeps().is_some());
    let step = sleeps().unwrap().file_name();
    engine.signal("KILL");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: "), "{said}");
    // the step outlives a killed engine by design of runc; an engine that starts again ends it or not
    let _gone = Output::of(sandbox.command("kill").arg("-KILL").arg(step));
    engine.again();
    assert_eq!(id(&engine, "app:1"), before);
    assert_eq!(engine.names(), ["app:1"]);
    assert_eq!(engine.left_over(), "");
    fs::write(context.join("new"), "n").unwrap();
    fs::write(context.join("Dockerfile"), "FROM app:1\nCOPY new /\n").unwrap();
    build(&sandbox, &engine, &context, &["-q", "-t", "app:2"]).ok();
}

#[test]
fn a_full_disk_fails_the_build_and_a_smaller_one_still_succeeds() {
    let Some(testbed) = testbed() else { return };
    let data = testbed.join("build-full/data");
    fs::create_dir_all(&data).unwrap();
    let sandbox = Sandbox::bare();
    let mount = |program: &str, arguments: &[&str]| {
        Output::of(sandbox.command(program).args(arguments).arg(&data))
    };
    mount("mount", &["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).ok();
    let engine = Engine::start(&testbed, "build-full");
    let context = context(&sandbox, "FROM scratch\nCOPY . /\n");
    build(&sandbox, &engine, &context, &["-q", "-t", "app:1"]).ok();
    let before = id(&engine, "app:1");
    // larger than the engine's whole disk and than what devnet may hold in memory: it is streamed
    let large = fs::File::create(context.join("large")).unwrap();
    large.set_len(10 << 30).unwrap();
    let said = build(&sandbox, &engine, &context, &["-t", "app:1"]).fails(1);
    assert!(said.contains("no space left on device"), "{said}");
    assert_eq!(id(&engine, "app:1"), before);
    fs::remove_file(context.join("large")).unwrap();
    // the engine never closes the file; that its collector does, which begins when enough is asked
    until("the engine has its disk back", || {
        let mut ask = sandbox.command("curl");
        ask.args(["-sS", "-o", "/dev/null", "--unix-socket"]);
        ask.arg(engine.socket());
        Output::of(ask.arg("http://engine/images/json?n=[1-200]")).ok();
        let free = mount("df", &["--output=avail", "-B1M"]).ok();
        free.lines().last().unwrap().trim().parse::<u64>().unwrap() > 24
    });
    let mut small = fs::File::create(context.join("small")).unwrap();
    small.write_all(b"small").unwrap();
    build(&sandbox, &engine, &context, &["-q", "-t", "app:2"]).ok();
    assert_eq!(engine.names(), ["app:1", "app:2"]);
    assert_eq!(engine.left_over(), "");
    drop(engine);
    mount("umount", &["-l"]).ok();
}
