"""RFC 9180's own vectors, A.2.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, base mode."""

from __future__ import annotations

import importlib

import pytest

from contracts.errors import BadSeal
from contracts.trust import hpke

INFO = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
EPHEMERAL = bytes.fromhex("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600")
ENCAPSULATED = bytes.fromhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
PRIVATE = bytes.fromhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")
PUBLIC = bytes.fromhex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
KEY = bytes.fromhex("ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91")
BASE_NONCE = bytes.fromhex("5c4d98150661b848853b547f")
EXPORTER = bytes.fromhex("a3b010d4994890e2c6968a36f64470d3c824c8f5029942feb11e7a74b2921922")
TEXT = bytes.fromhex("4265617574792069732074727574682c20747275746820626561757479")
SEALED = {
    0: "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
    1: "6b53c051e4199c518de79594e1c4ab18b96f081549d45ce015be002090bb119e85285337cc95ba5f59992dc98c",
    2: "71146bd6795ccc9c49ce25dda112a48f202ad220559502cef1f34271e0cb4b02b4f10ecac6f48c32f878fae86b",
    4: "63357a2aa291f5a4e5f27db6baa2af8cf77427c7c1a909e0b37214dd47db122bb153495ff0b02e9e54a50dbe16",
    255: "18ab939d63ddec9f6ac2b60d61d36a7375d2070c9b683861110757062c52b8880a5f6b3936da9cd6c23ef2a95c",
    256: "7a4a13e9ef23978e2c520fd4d2e757514ae160cd0cd05e556ef692370ca53076214c0c40d4c728d6ed9e727a5b",
}
EXPORTED = {
    b"": "4bbd6243b8bb54cec311fac9df81841b6fd61f56538a775e7c80a9f40160606e",
    b"\x00": "8c1df14732580e5501b00f82b10a1647b40713191b7c1240ac80e2b68808ba69",
    b"TestContext": "5acb09211139c43b3090489a9da433e8a30ee7188ba8b0a9a1ccf0c229283e53",
}
#: Points of low order, RFC 7748 and https://cr.yp.to/ecdh.html: with them everybody knows the shared secret.
LOW_ORDER = (
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)


@pytest.fixture(params=["sender", "receiver"])
def context(request: pytest.FixtureRequest) -> hpke.HpkeContext:
    """Both ends make the same."""
    if request.param == "receiver":
        return hpke.received(ENCAPSULATED, PRIVATE, INFO)
    encapsulated, context = hpke.send_to(PUBLIC, INFO, ephemeral=EPHEMERAL)
    assert encapsulated == ENCAPSULATED
    return context


def test_the_keys_are_those_of_the_rfc(context: hpke.HpkeContext) -> None:
    assert hpke.public_of(PRIVATE) == PUBLIC
    assert context == hpke.HpkeContext(cipher=hpke.Cipher(KEY, BASE_NONCE), exporter_secret=EXPORTER)


@pytest.mark.parametrize("number", SEALED)
def test_messages_are_sealed_and_opened_as_in_the_rfc(context: hpke.HpkeContext, number: int) -> None:
    more, sealed = b"Count-%d" % number, bytes.fromhex(SEALED[number])
    assert context.cipher.seal(number, TEXT, more) == sealed
    assert context.cipher.open(number, sealed, more) == TEXT
    for wrong in (number + 1, number ^ 1):
        with pytest.raises(BadSeal):
            context.cipher.open(wrong, sealed, more)
    with pytest.raises(BadSeal):
        context.cipher.open(number, sealed, more + b"!")


@pytest.mark.parametrize("purpose", EXPORTED)
def test_exported_secrets_are_those_of_the_rfc(context: hpke.HpkeContext, purpose: bytes) -> None:
    assert context.export(purpose, 32).hex() == EXPORTED[purpose]
    assert len(context.export(purpose, 44)) == 44


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_key_with_which_everybody_knows_the_secret_is_refused(point: str) -> None:
    with pytest.raises(BadSeal):
        hpke.send_to(bytes.fromhex(point), INFO, ephemeral=EPHEMERAL)
    with pytest.raises(BadSeal):
        hpke.received(bytes.fromhex(point), PRIVATE, INFO)


def test_what_the_librarys_own_hpke_seals_is_opened() -> None:
    """Another implementation, where `cryptography` brings one (from 47 on); the oldest that is allowed has none."""
    if importlib.util.find_spec("cryptography.hazmat.primitives.hpke") is None:
        return
    from cryptography.hazmat.primitives import hpke as theirs
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    suite = theirs.Suite(theirs.KEM.X25519, theirs.KDF.HKDF_SHA256, theirs.AEAD.CHACHA20_POLY1305)
    sent = suite.encrypt(TEXT, X25519PublicKey.from_public_bytes(PUBLIC), info=INFO)
    assert hpke.received(sent[:32], PRIVATE, INFO).cipher.open(0, sent[32:]) == TEXT
