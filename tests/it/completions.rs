//! Completions in the real shells, and manual pages as `man` shows them.

use std::fs;
use std::path::Path;

use crate::support::{Output, Sandbox, missing};

/// A shell's script, in a file of the sandbox.
fn script(sandbox: &Sandbox, shell: &str) -> String {
    let file = sandbox.home().join(format!("devnet.{shell}"));
    fs::write(
        &file,
        sandbox.devnet(&["completions", "--static", shell]).ok(),
    )
    .unwrap();
    file.display().to_string()
}

fn here(program: &str) -> bool {
    let found = ["/bin", "/usr/bin", "/usr/local/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists());
    if !found {
        missing(program);
    }
    found
}

fn run(sandbox: &Sandbox, program: &str, arguments: &[&str]) -> String {
    Output::of(sandbox.command(program).args(arguments)).ok()
}

#[test]
fn bash_completes_commands_and_flags() {
    let sandbox = Sandbox::bare();
    let file = script(&sandbox, "bash");
    let complete = |words: &str, place: usize| {
        let script = format!(
            "source {file}; COMP_WORDS=({words}); COMP_CWORD={place}; COMP_LINE='{words}'
             _devnet devnet \"${{COMP_WORDS[{place}]}}\" \"${{COMP_WORDS[{place}-1]}}\"
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let mut found: Vec<String> = run(&sandbox, "bash", &["--norc", "-c", &script])
            .lines()
            .map(str::to_owned)
            .collect();
        found.sort();
        found
    };
    assert_eq!(complete("devnet con", 1), ["config", "context"]);
    assert_eq!(complete("devnet context --u", 2), ["--use"]);
    assert!(complete("devnet env --shell x", 3).len() <= 1);
    assert!(complete("devnet lab p", 2).contains(&"ps".to_owned()));
}

#[test]
fn fish_zsh_and_elvish_take_theirs() {
    let sandbox = Sandbox::bare();
    if here("fish") {
        let file = script(&sandbox, "fish");
        let lines = run(
            &sandbox,
            "fish",
            &[
                "--no-config",
                "-c",
                &format!("source {file}; complete -C 'devnet con'"),
            ],
        );
        let found: Vec<&str> = lines.lines().filter_map(|l| l.split('\t').next()).collect();
        assert_eq!(found, ["config", "context"], "{lines}");
    }
    if here("zsh") {
        let file = script(&sandbox, "zsh");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("#compdef devnet"), "{text}");
        let all = run(
            &sandbox,
            "zsh",
            &[
                "-f",
                "-c",
                &format!(
                    "autoload -U compinit; compinit -u -D; source {file}; echo ${{_comps[devnet]}}; functions _devnet_commands"
                ),
            ],
        );
        assert!(all.starts_with("_devnet\n"), "{all}");
        assert!(all.contains("context:"), "{all}");
    }
    if here("elvish") {
        let file = script(&sandbox, "elvish");
        // `edit:` is there at a prompt only: what the script needs of it
        let stand_in = "var a = [&]
            var edit: = (ns [&complex-candidate~={|s &display='' &code-suffix=''| put $s} &completion:=(ns [&arg-completer=$a])])";
        let code = format!(
            "{stand_in}
             eval (slurp < {file}) &ns=(ns [&edit:=$edit:]) &on-end={{|n| $n[edit:][completion:][arg-completer][devnet] devnet '' | to-lines }}"
        );
        let found = run(&sandbox, "elvish", &["-norc", "-c", &code]);
        assert!(found.lines().any(|line| line == "context"), "{found}");
    }
}

#[test]
fn powershell_gets_a_script_and_others_are_refused() {
    let sandbox = Sandbox::bare();
    let text = sandbox.devnet(&["completions", "powershell"]).ok();
    assert!(text.contains("Register-ArgumentCompleter"), "{text}");
    let stderr = sandbox.devnet(&["completions", "tcsh"]).fails(2);
    assert!(stderr.contains("tcsh"), "{stderr}");
}

#[test]
fn man_shows_the_pages() {
    if !here("man") || !here("groff") {
        return;
    }
    let sandbox = Sandbox::bare().env("MANWIDTH", "100");
    let folder = sandbox.home().join("pages/man1");
    let outcome = sandbox.devnet(&["man", "--dir", &folder.display().to_string()]);
    assert_eq!(outcome.code, 0, "{outcome}");
    let count = fs::read_dir(&folder).unwrap().count();
    assert!(
        outcome.stderr.contains(&format!("wrote {count} pages")),
        "{outcome}"
    );
    for name in [
        "devnet.1",
        "devnet-env.1",
        "devnet-lab-up.1",
        "devnet-context.1",
    ] {
        let file = folder.join(name).display().to_string();
        // groff warns of what it does not understand
        let checked = Output::of(
            sandbox
                .command("groff")
                .args(["-man", "-Tutf8", "-ww", "-z", &file]),
        );
        assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{name}");
        let alone = sandbox.devnet(&["man"]).ok();
        assert_eq!(
            alone,
            fs::read_to_string(folder.join("devnet.1")).unwrap(),
            "the page is the same alone"
        );
    }
    let shown = |words: &[&str]| {
        let file = sandbox.home().join("page.1");
        fs::write(&file, sandbox.devnet(&[&["man"], words].concat()).ok()).unwrap();
        run(&sandbox, "man", &["-l", &file.display().to_string()])
    };
    let page = shown(&["env"]);
    assert!(page.contains("devnet-env - "), "{page}");
    assert!(
        page.contains("\n       eval $(devnet -p other env --no-proxy)\n"),
        "{page}"
    );
    // an alias is the same command
    assert_eq!(page, shown(&["docker-env"]));
    let page = shown(&["lab", "up"]);
    assert!(page.contains("devnet-lab-up - "), "{page}");
    let page = shown(&[]);
    assert!(page.contains("EXIT STATUS"), "{page}");
}

#[test]
fn a_page_of_no_command_and_a_folder_that_is_a_file_are_told() {
    let sandbox = Sandbox::bare();
    let stderr = sandbox.devnet(&["man", "nope"]).fails(2);
    assert!(stderr.contains("no command `nope`"), "{stderr}");
    assert!(stderr.contains("there are: "), "{stderr}");
    sandbox.devnet(&["man", "lab", "nope"]).fails(2);
    sandbox.devnet(&["man", "env", "--dir", "x"]).fails(2);
    fs::write(sandbox.home().join("file"), "").unwrap();
    let stderr = sandbox.devnet(&["man", "--dir", "file/man1"]).fails(1);
    assert!(stderr.contains("can't be written"), "{stderr}");
}
