"""The database roles of the services, and how a login becomes one."""

GATEWAY = "ringback_gateway"
PROCESSOR = "ringback_processor"
METRICS = "ringback_metrics"
TENANT = "ringback_tenant"
SERVICE = "ringback_service"
TENANT_OPERATOR = "ringback_tenant_operator"
OPERATOR = "ringback_operator"

CALLERS = (TENANT, SERVICE, TENANT_OPERATOR, OPERATOR)
ROLES = (GATEWAY, PROCESSOR, METRICS, *CALLERS)


def url_as(database_url: str, role: str) -> str:
    """The address of a database whose sessions are those of `role`."""
    return f"{database_url}?role={role}"
