class Devnet < Formula
  desc "Minikube's container engine at hand, and pods down to their pause containers"
  homepage "@REPOSITORY@"
  version "@VERSION@"
  license "Apache-2.0"

  on_macos do
    #if aarch64-apple-darwin
    on_arm do
      url "@DOWNLOAD@/@FILE:aarch64-apple-darwin@"
      sha256 "@SHA256:aarch64-apple-darwin@"
    end
    #end
    #if x86_64-apple-darwin
    on_intel do
      url "@DOWNLOAD@/@FILE:x86_64-apple-darwin@"
      sha256 "@SHA256:x86_64-apple-darwin@"
    end
    #end
  end

  on_linux do
    #if aarch64-unknown-linux-musl
    on_arm do
      url "@DOWNLOAD@/@FILE:aarch64-unknown-linux-musl@"
      sha256 "@SHA256:aarch64-unknown-linux-musl@"
    end
    #end
    #if x86_64-unknown-linux-musl
    on_intel do
      url "@DOWNLOAD@/@FILE:x86_64-unknown-linux-musl@"
      sha256 "@SHA256:x86_64-unknown-linux-musl@"
    end
    #end
  end

  def install
    bin.install "devnet"
    bin.install_symlink "devnet" => "kubectl-devnet"
    bash_completion.install "completions/devnet.bash" => "devnet"
    zsh_completion.install "completions/_devnet"
    fish_completion.install "completions/devnet.fish"
    man1.install Dir["man/man1/*.1"]
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/devnet --version")
  end
end
