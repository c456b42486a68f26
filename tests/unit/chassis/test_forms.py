"""Each text of a request has the form and the rule that its field means; generic, from the contracts."""

from __future__ import annotations

from typing import Any

import pytest
from crm.common.v1 import annotations_pb2, money_pb2
from crm.customer.v1 import contact_service_pb2, customer_pb2, customer_service_pb2
from crm.organization.v1 import person_service_pb2, session_service_pb2
from crm.sales.v1 import order_service_pb2
from crm.support.v1 import ticket_service_pb2

from chassis.kernel.errors import Invalid
from chassis.kernel.mail_addresses import is_address, mail_key, written
from chassis.kernel.standards import COUNTRIES, CURRENCIES, zones
from chassis.rpc import forms
from chassis.rpc.contract import nouns


def refused(message: Any, field: str) -> str:
    forms.tidy(message)
    with pytest.raises(Invalid) as found:
        forms.check(message)
    assert found.value.field == field
    return found.value.message


def taken(message: Any) -> Any:
    forms.tidy(message)
    forms.check(message)
    return message


@pytest.mark.parametrize("name", ["\u200b", "\u3164\u2060", "…", " \u00a0 ", "!?"])
def test_a_name_of_which_nothing_can_be_read_is_none(name: str) -> None:
    message = customer_service_pb2.CreateCustomerRequest(name=name)
    forms.tidy(message)
    if message.name:
        refused(message, "name")


def test_a_text_is_brought_into_its_form_before_anything_judges_it() -> None:
    found = taken(customer_service_pb2.CreateCustomerRequest(
        name=" 云栖\u202e\u3000科技 ", email=" Ｉnfo@Example.COM ", tax_number="9131 0000 ma1fl5x0x1", phone="０１０－６２３４５６７１", description="a\r\nb\u0000"
    ))  # fmt: skip
    assert (found.name, found.email, found.tax_number, found.phone) == (
        "云栖 科技",
        "info@example.com",
        "91310000MA1FL5X0X1",
        "010-62345671",
    )
    assert found.description == "a\nb"


def test_secrets_and_ids_stay_as_they_come() -> None:
    found = taken(session_service_pb2.CreateSessionRequest(email="a@b.example", password="  two  blanks\u200b "))
    assert found.password == "  two  blanks\u200b "


PHONES = ["+86 10 6234 5671", "010-62345671", "+49 (0)30 12345675", "0755-8888666 转 801", "13800138077, 13900139077", "(021)6288-0000-801",
          "+1 415 555 0100 ext. 22", "110", "tel: +44 20 7946 0958", "021-62880000/62880001"]  # fmt: skip


@pytest.mark.parametrize("phone", PHONES)
def test_what_can_be_dialled_is_taken(phone: str) -> None:
    taken(contact_service_pb2.CreateContactRequest(phone=phone))


@pytest.mark.parametrize(
    "phone", ["abc", "12", "call me", "+", "1234567890123456789012345678", "javascript:1234", "<b>12345</b>", "13800138000a"]
)
def test_what_cannot_be_dialled_is_refused(phone: str) -> None:
    assert "+86" in refused(contact_service_pb2.CreateContactRequest(phone=phone), "phone")


@pytest.mark.parametrize("address", ["a..b@t.example", ".a@t.example", "a.@t.example", "a@t", "a@-t.example", "a@t..example", "a b@t.example", "a@b@t.example",
                                     "a@1.2.3.4", "@t.example", "a@"])  # fmt: skip
def test_what_is_no_mail_address_is_refused(address: str) -> None:
    refused(contact_service_pb2.CreateContactRequest(email=address), "email")


@pytest.mark.parametrize("address", ["a.b@t.example", "a+tag@t.example", "o'brien@t.co.uk", "用户@例子.公司", "x@xn--fsqu00a.example"])
def test_a_mail_address_is_taken(address: str) -> None:
    taken(contact_service_pb2.CreateContactRequest(email=address))


def test_spellings_of_one_address_have_one_key() -> None:
    assert mail_key("Info＠MÜNCHEN.example") == mail_key("info@xn--mnchen-3ya.example") == "info@xn--mnchen-3ya.example"
    assert mail_key("a+x@b.example") != mail_key("a@b.example")
    assert is_address(written(" A@B.example "))


@pytest.mark.parametrize("website", ["javascript:alert(1)", "JavaScript://x.example/%0aalert(1)", "data:text/html,x", "ftp://x.example", "http://", "localhost",
                                     "https://user:pass@x.example", "https://x .example", "mailto:a@b.example", "https://x.example/\"><script>"])  # fmt: skip
def test_what_is_no_page_is_refused(website: str) -> None:
    refused(customer_service_pb2.CreateCustomerRequest(website=website), "website")


@pytest.mark.parametrize("website", ["https://www.x.example", "x.example", "http://x.example:8080/a?b=c#d", "https://例子.公司/页"])
def test_a_page_is_taken(website: str) -> None:
    taken(customer_service_pb2.CreateCustomerRequest(website=website))


@pytest.mark.parametrize("code", ["ZZ", "UK", "XX", "EU"])
def test_a_country_that_does_not_exist_is_refused(code: str) -> None:
    refused(customer_service_pb2.CreateCustomerRequest(country_code=code), "country_code")


@pytest.mark.parametrize("code", ["RMB", "XXX", "ZZZ", "XAU", "DEM", "XTS", "HRK"])
def test_a_currency_that_nobody_pays_with_is_refused_wherever_it_stands(code: str) -> None:
    line = {"quantity": 1, "unit_price": money_pb2.Money(currency_code=code, amount_micros=1)}
    refused(
        order_service_pb2.CreateOrderRequest(lines=[{"quantity": 1, "unit_price": {"currency_code": "CNY"}}, line]),
        "lines[1].unit_price.currency_code",
    )
    refused(customer_service_pb2.CreateCustomerRequest(annual_revenue=money_pb2.Money(currency_code=code)), "annual_revenue.currency_code")


@pytest.mark.parametrize(
    ("field", "value"), [("time_zone", "Mars/Base"), ("time_zone", "UTC+8"), ("locale", "chinese"), ("locale", "zh_CN")]
)
def test_zones_and_languages_are_those_that_there_are(field: str, value: str) -> None:
    refused(person_service_pb2.CreatePersonRequest(**{field: value}), field)
    taken(person_service_pb2.CreatePersonRequest(time_zone="Asia/Shanghai", locale="zh-CN"))


@pytest.mark.parametrize("number", ["!!!", "abc", "12", "-1234", "12 3"])
def test_a_tax_number_has_letters_and_digits(number: str) -> None:
    refused(customer_service_pb2.CreateCustomerRequest(tax_number=number), "tax_number")


def test_a_subject_of_blanks_is_none() -> None:
    message = ticket_service_pb2.CreateTicketRequest(subject=" \u200b ")
    forms.tidy(message)
    assert message.subject == ""


def test_rows_of_a_batch_are_brought_into_form_and_judged_one_by_one() -> None:
    batch = customer_service_pb2.BatchUpsertCustomersRequest(customers=[customer_pb2.Customer(name=" a\u200b ", phone="abc")])
    taken(batch)
    assert batch.customers[0].name == "a"
    refused(batch.customers[0], "phone")


def test_refusals_do_not_repeat_what_may_be_personal() -> None:
    assert "secretword" not in refused(contact_service_pb2.CreateContactRequest(phone="secretword"), "phone")


def test_every_field_that_names_something_known_says_its_form() -> None:
    wanted = {
        "phone": "PHONE",
        "email": "EMAIL",
        "country_code": "COUNTRY",
        "website": "WEBSITE",
        "time_zone": "TIME_ZONE",
        "tax_number": "TAX_NUMBER",
        "name": "NAME",
    }
    for noun in nouns():
        for field in noun.record.fields:
            if field.name in wanted and not field.message_type:
                assert forms.form_of(field) == annotations_pb2.Form.Value(f"FORM_{wanted[field.name]}"), field.full_name


def test_the_codes_are_those_of_the_standards() -> None:
    assert len(COUNTRIES) == 249 and {"CN", "TW", "XK"} - COUNTRIES == {"XK"}
    assert (CURRENCIES["CNY"], CURRENCIES["JPY"], CURRENCIES["KWD"]) == (2, 0, 3)
    assert "Asia/Shanghai" in zones() and "Mars/Base" not in zones()


def test_bytes_are_no_texts() -> None:
    from crm.common.v1 import audit_service_pb2

    key = b"  \x00\x01" + b"k" * 28
    assert taken(audit_service_pb2.RecordCheckpointRequest(checkpoint="a.b.c", public_key=key)).public_key == key
