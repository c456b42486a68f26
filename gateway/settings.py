"""Settings of the gateway."""

from __future__ import annotations

from dataclasses import dataclass

from chassis.kernel.origins import origins_of
from chassis.runtime.settings import Edge, env
from chassis.runtime.settings import Settings as Common


@dataclass(frozen=True, kw_only=True)
class Settings(Common, Edge):
    """Where to listen, where the departments answer, and the limits of one operation."""

    mongo_uri: str = env("CRM_MONGO_URI", "", "not used: the gateway owns no data")
    service_secret: str = env("CRM_SERVICE_SECRET", "", "not used: the gateway passes its callers' tokens on")
    master_keys: str = env("CRM_MASTER_KEYS", "", "not used: the gateway stores nothing")
    nats_monitor_url: str = env("CRM_NATS_MONITOR_URL", "", "not used: the gateway stores no facts")
    health_address: str = env("CRM_HEALTH_ADDRESS", "", "not used: the gateway is asked over HTTP")
    nats_replicas: int = env("CRM_NATS_REPLICAS", 1, "not used: the gateway has no stream")
    http_address: str = env("CRM_HTTP_ADDRESS", "127.0.0.1:8400", "host:port of the graph")
    organization_address: str = env("CRM_ORGANIZATION_ADDRESS", ..., "host:port of the organization department's gRPC")
    customer_address: str = env("CRM_CUSTOMER_ADDRESS", ..., "host:port of the customer department's gRPC")
    sales_address: str = env("CRM_SALES_ADDRESS", ..., "host:port of the sales department's gRPC")
    marketing_address: str = env("CRM_MARKETING_ADDRESS", ..., "host:port of the marketing department's gRPC")
    support_address: str = env("CRM_SUPPORT_ADDRESS", ..., "host:port of the support department's gRPC")
    allowed_origins: str = env(
        "CRM_ALLOWED_ORIGINS",
        "",
        "origins joined by commas, e.g. https://crm.example.com, whose pages may ask the graph from a browser; the gateway's own alone when empty",
    )
    read_milliseconds: int = env("CRM_READ_MILLISECONDS", 300, "time that a department has to answer a read")
    write_milliseconds: int = env("CRM_WRITE_MILLISECONDS", 10_000, "time that a department has to answer a command")
    most_depth: int = env("CRM_MOST_DEPTH", 15, "levels of an operation")
    most_aliases: int = env("CRM_MOST_ALIASES", 60, "aliases in an operation")
    most_directives: int = env("CRM_MOST_DIRECTIVES", 60, "directives in a document")
    most_breadth: int = env("CRM_MOST_BREADTH", 500, "entries of one selection")
    most_repeats: int = env("CRM_MOST_REPEATS", 25, "times that one field may stand in one selection")
    most_spreads: int = env("CRM_MOST_SPREADS", 150, "fragment spreads in a document")
    most_tokens: int = env("CRM_MOST_TOKENS", 4000, "tokens of a document")
    most_cost: int = env("CRM_MOST_COST", 25_000, "cost of an operation: fields, times the rows asked for")
    most_body_bytes: int = env("CRM_MOST_BODY_BYTES", 100_000, "bytes of a request's body")
    most_values: int = env("CRM_MOST_VALUES", 10_000, "values in the variables of a request; who is not signed in may send 200")
    most_answer_bytes: int = env("CRM_MOST_ANSWER_BYTES", 8_000_000, "bytes of the answers to one request")
    most_batch: int = env("CRM_MOST_BATCH", 10, "operations in one request")

    most_cost_per_minute: int = env("CRM_MOST_COST_PER_MINUTE", 3_000_000, "cost that one caller may ask for in a minute; 0: no limit")
    most_sign_ins_per_minute: int = env(
        "CRM_MOST_SIGN_INS_PER_MINUTE", 600, "sign-ins, and as many refreshes, from one address in a minute; 0: no limit"
    )
    most_at_once: int = env("CRM_MOST_AT_ONCE", 256, "operations under way at once; who comes beyond that is told to come again")
    most_files_at_once: int = env("CRM_MOST_FILES_AT_ONCE", 16, "files that are taken or given at once, some megabytes of memory each")
    compress_bytes: int = env("CRM_COMPRESS_BYTES", 8192, "answers of this size and more are compressed where the client takes it")
    documents: str = env("CRM_DOCUMENTS", "", "file of registered documents; in production only those are answered")

    @property
    def origins(self) -> frozenset[str]:
        """The origins whose pages may ask."""
        return origins_of(self.allowed_origins)

    def address(self, department: str) -> str:
        """host:port of a department's gRPC."""
        return str(getattr(self, f"{department}_address"))
