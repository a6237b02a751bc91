"""The data sources, by their uids in `provisioning/datasources`."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import DataSourceRef

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="ringback-prometheus")
POSTGRESQL: Final = DataSourceRef(
    type_val="grafana-postgresql-datasource", uid="ringback-postgresql"
)
