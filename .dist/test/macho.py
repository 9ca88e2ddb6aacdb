"""Checks a 64-bit Mach-O program: it loads nothing but the system's own libraries, no framework, and the
hashes of its signature are those of its pages."""
import hashlib
import struct
import sys

# libcharset is a part of the system's libiconv
SYSTEM = {"/usr/lib/libSystem.B.dylib", "/usr/lib/libiconv.2.dylib", "/usr/lib/libcharset.1.dylib"}
LOAD_DYLIB, LOAD_WEAK, REEXPORT, MAIN, SIGNATURE, BUILD_VERSION = 0xC, 0x80000018, 0x8000001F, 0x80000028, 0x1D, 0x32
PROCESSORS = {0x0100000C: "arm64", 0x01000007: "x86_64"}

data = open(sys.argv[1], "rb").read()
magic, processor, _, kind, count, _, _, _ = struct.unpack_from("<8I", data)
assert magic == 0xFEEDFACF and kind == 2, "no 64-bit program"
libraries, signature, main, system = set(), None, False, None
at = 32
for _ in range(count):
    command, size = struct.unpack_from("<2I", data, at)
    if command in (LOAD_DYLIB, LOAD_WEAK, REEXPORT):
        start = at + struct.unpack_from("<I", data, at + 8)[0]
        libraries.add(data[start:at + size].split(b"\0")[0].decode())
    elif command == SIGNATURE:
        signature = struct.unpack_from("<2I", data, at + 8)
    elif command == MAIN:
        main = True
    elif command == BUILD_VERSION:
        version = struct.unpack_from("<I", data, at + 12)[0]
        system = (version >> 16, version >> 8 & 255)
    at += size
assert main, "no entry"
assert system and system <= (11, 0), f"it wants macOS {system}"
assert libraries <= SYSTEM, f"it loads more than the system's libraries: {libraries - SYSTEM}"

signed = "not signed"
if signature:
    start, size = signature
    blob = data[start:start + size]
    assert struct.unpack_from(">I", blob)[0] == 0xFADE0CC0, "no signature"
    number = struct.unpack_from(">I", blob, 8)[0]
    slots = dict(struct.unpack_from(">2I", blob, 12 + 8 * n) for n in range(number))
    directory = blob[slots[0]:]
    fields = struct.unpack_from(">9I4BI", directory)
    hashes, pages, limit, length, page = fields[4], fields[7], fields[8], fields[9], 1 << fields[12]
    assert limit == start, "the signature does not cover the program"
    for n in range(pages):
        real = hashlib.sha256(data[n * page:min((n + 1) * page, limit)]).digest()
        assert directory[hashes + n * length:hashes + (n + 1) * length] == real, f"page {n} is not as signed"
    signed = f"{pages} pages as signed"
assert signature or PROCESSORS[processor] != "arm64", "Apple's processors run no program without a signature"
print(f"ok: {PROCESSORS[processor]} for macOS {system[0]} and later: {', '.join(sorted(libraries))}; {signed}")
