"""Which payment provider a server has: coins are not given away where they could be worth money."""

import pytest

from control_api.payments.demo_checkout import DemoCheckout
from control_api.payments.stripe_checkout import StripeCheckout
from mediaserver.config import SettingsError, load_settings, with_test_payments
from mediaserver.errors import StartError
from mediaserver.payments import Payments, allows_test_payments, check_test_coins
from storage.ids import new_id
from storage.repositories import Users
from storage.repositories.ledger import Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts

STRIPE = {"stripe.secret_key": "sk_x", "stripe.webhook_secret": "whsec_x"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, False),
        ({"http.host": "127.0.0.1"}, True),
        ({"http.host": "::1"}, True),
        ({"http.host": "localhost"}, True),
        ({"http.host": "192.0.2.1"}, False),
        ({"http.host": "127.0.0.1", "http.trusted_proxies": "127.0.0.1"}, False),
        ({"http.host": "127.0.0.1", "public_url": "https://live.example.com"}, False),
        ({"http.host": "127.0.0.1", "public_url": "http://localhost:8080"}, True),
        ({"http.host": "127.0.0.1", "public_url": "https://127.0.0.1"}, True),
        ({"http.host": "127.0.0.1", "public_url": "https://localhost.example.com"}, False),
        # Others reach it all the same.
        ({"public_url": "http://localhost:8080"}, False),
        ({"http.host": "192.0.2.1", "public_url": "http://localhost:8080"}, False),
        (
            {
                "http.host": "127.0.0.1",
                "http.trusted_proxies": "127.0.0.1",
                "public_url": "http://localhost:8080",
            },
            False,
        ),
        ({"money.test_payments": "true", "public_url": "https://live.example.com"}, True),
        ({"money.test_payments": "false", "http.host": "127.0.0.1"}, False),
    ],
)
def test_test_payments_are_for_this_machine_alone_unless_it_is_said(flags, expected):
    assert allows_test_payments(load_settings({}, flags)) is expected


def test_a_demo_has_test_payments_unless_it_is_said():
    assert allows_test_payments(with_test_payments(load_settings({})))
    assert not allows_test_payments(with_test_payments(load_settings({}, {"money.test_payments": "false"})))


@pytest.mark.parametrize("missing", STRIPE)
def test_the_keys_of_stripe_need_each_other(missing):
    flags = {name: value for name, value in STRIPE.items() if name != missing}
    with pytest.raises(SettingsError, match="need each other"):
        load_settings({}, flags)


def test_a_key_of_stripe_stays_out_of_messages():
    with pytest.raises(SettingsError) as wrong:
        load_settings({}, {"stripe.secret_key": " "})
    assert "sk" not in str(wrong.value).replace("--stripe.secret_key", "").replace("stripe.secret_key", "")


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ({}, None),
        ({"http.host": "127.0.0.1"}, DemoCheckout),
        ({"http.host": "127.0.0.1", **STRIPE}, StripeCheckout),
        ({"money.test_payments": "true", **STRIPE}, StripeCheckout),
    ],
)
def test_stripe_comes_before_the_test_provider(database, flags, kind):
    payments = Payments(load_settings({}, flags), database, b"x" * 32, "http://localhost", str)
    assert (type(payments.provider) if payments.provider is not None else None) is kind
    assert (payments.test_till is not None) == (kind is DemoCheckout)
    assert (payments.events is None) == (kind is None)


async def sell_a_coin(database, scope):
    user = await Users(database).add("bob", "bob@example.com", "hash")
    accounts = [Account(AccountKind.PROVIDER, "coin"), Account(AccountKind.WALLET, "coin", user.id)]
    provider, wallet = await LedgerAccounts(database).ids(accounts)
    lines = (Line(provider, -1), Line(wallet, 1))
    await Ledger(database).post(NewTransfer(TransferKind.PURCHASE, scope, str(new_id()), "", lines))


async def test_coins_of_the_test_checkout_do_not_turn_into_money(database):
    with_stripe = load_settings({}, STRIPE)
    await check_test_coins(with_stripe, database)
    await sell_a_coin(database, "test")
    with pytest.raises(StartError, match=r"money\.accept_test_coins"):
        await check_test_coins(with_stripe, database)
    await check_test_coins(load_settings({}, {**STRIPE, "money.accept_test_coins": "true"}), database)
    await check_test_coins(load_settings({}), database)


async def test_coins_that_were_paid_for_are_no_hindrance(database):
    await sell_a_coin(database, "stripe")
    await check_test_coins(load_settings({}, STRIPE), database)
