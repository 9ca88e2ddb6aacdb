"""The MB of a program with its symbols, by who they belong to: size.py PROGRAM [COUNT]
A symbol belongs to the first crate in its name that is not Rust's own library."""
import collections
import re
import subprocess
import sys

program, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 24
GROUPS = {
    "tonic, prost, hyper, h2, tower": r"tonic|prost|hyper|h2|tower|http|bollard_buildkit",
    "bollard and its models": r"bollard",
    "russh and its ciphers": r"russh|ssh_|rsa|p256|p384|p521|ecdsa|elliptic|aes|chacha|curve25519|ed25519|crypto_|num_bigint|pkcs|sec1|der|spki|sha1|"
    r"cbc|ctr|ml_kem|blowfish|bcrypt|primeorder|group|ff|signature|hmac|des|cipher|poly1305|ghash|kem|hybrid_array|pbkdf2|argon2",
    "rustls, ring, x509": r"rustls|ring|webpki|x509|asn1|nom|oid_registry|rusticata",
    "clap": r"clap",
    "serde and its formats": r"serde|saphyr|unsafe_libyaml|itoa|ryu",
    "compression and archives": r"ruzstd|bzip2|lzma|flate2|miniz|tar|crc32|libbz2",
    "tokio, futures": r"tokio|mio|futures|bytes",
    "time": r"jiff|chrono|time",
}
OWN = {"core", "alloc", "std", "hashbrown", "gimli", "addr2line", "rustc_demangle", "compiler_builtins"}
named = subprocess.run(["nm", "-S", "--demangle", program], capture_output=True, text=True, check=True).stdout
sizes, seen = collections.Counter(), set()
for line in named.splitlines():
    fields = line.split(" ", 3)
    if len(fields) < 4 or fields[0] in seen:
        continue
    seen.add(fields[0])
    name = fields[3]
    crates = [crate for crate in re.findall(r"(?<![\w:])([a-z_][a-z0-9_]*)::", name)]
    crate = next((crate for crate in crates if crate not in OWN), crates[0] if crates else "C and assembly")
    where = "text" if fields[2] in "tTwW" else "data"
    owner = next((group for group, of in GROUPS.items() if re.match(rf"({of})", crate)), crate)
    if crate in OWN:
        owner = "Rust's own library"
    sizes[owner, where] += int(fields[1], 16)
owners = collections.Counter()
for (owner, _), size in sizes.items():
    owners[owner] += size
print("| owner | MB of code | MB of named data |\n|---|---|---|")
for owner, _ in owners.most_common(count):
    print(f"| {owner} | {sizes[owner, 'text'] / 1e6:.2f} | {sizes[owner, 'data'] / 1e6:.2f} |")
rest = sum(size for _, size in owners.most_common()[count:])
print(f"| others | {rest / 1e6:.2f} | |")
