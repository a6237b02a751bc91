"""The steps of the Dockerfile are done, in a folder, and what they install is run from there.

Nothing is downloaded: the two steps that do nothing else are left out, and the packages are those
with which the tests run. `python -m deploy.docker.proof` leaves nothing out.
"""

import os
import sys
from pathlib import Path

import pytest

from deploy.docker.proof.product import SERVICES, Product
from deploy.docker.proof.stages import Image, image, stages
from deploy.docker.proof.steps import CHECKOUT, DOCKERFILE, Builder
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from tests.integration.images.here import Here
from tests.integration.images.mapped_root import MappedRoot
from tests.support.broker_users import broker_users

STAGES = stages(DOCKERFILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> MappedRoot:
    """A folder in which the stages `build` and `run` have been built."""
    built = MappedRoot(tmp_path_factory.mktemp("image"))
    downloads: list[str] = []

    def borrow(command: str) -> bool:
        if "--require-hashes" not in command:
            return False
        downloads.append(command)
        if "/build/bin/python -m pip install" in command:
            built.borrow_dependencies("/build")
        return True

    python = Path(sys.executable).parent
    builder = Builder(environ={"PATH": f"{python}:{os.environ['PATH']}"}, instead=borrow)
    for name in ("build", "run"):
        builder.build(STAGES[name], built, {"build": built})
    assert len(downloads) == 2, downloads
    # Only now: pip would take the checkout's own package for the one to install.
    built.borrow_dependencies("/opt/ringback")
    return built


async def test_what_the_image_holds_takes_and_finishes_a_webhook(
    root: MappedRoot, broker: PrivateBroker, amqp_url: str, own_database: PrivateDatabase
) -> None:
    """All from the installed wheel, told what compose.yaml tells: migrations, logins, queues, the
    three services, each as its own user of broker and database, and their health checks. SIGTERM
    ends each with 0.
    """
    here = Here(broker, amqp_url, own_database, root)
    targets = ("ringback", *SERVICES)
    product = Product(
        images={name: image(STAGES, name) for name in targets},
        start=root.start,
        variables={
            "ringback": here.variables("migrate") | here.variables("topology"),
            **{name: here.variables(name) for name in SERVICES},
        },
        database_url=own_database.url(),
        gateway_url=f"http://127.0.0.1:{here.ports['RINGBACK_GATEWAY_PORT']}/api/webhooks/vapi",
    )

    async with broker_users(broker, amqp_url, here.broker_passwords()):
        await product.migrate()
        # Twice: a second `up` must not fail.
        for _ in range(2):
            await here.make_logins()
        await product.declare()
        await product.serve()

    logins = await here.who_may_log_in()
    assert logins == {
        *("postgres", "ringback_grafana"),
        *(f"webhooks_{name}" for name in SERVICES),
    }


async def test_nothing_comes_from_the_checkout(root: MappedRoot) -> None:
    """Else the test above would say nothing about the wheel."""
    words = ["/opt/ringback/bin/python", "-c", "import services; print(services.__file__)"]

    process = await root.start(image(STAGES, "gateway"), words, {})
    status, said = await process.ended()

    assert (status, said.startswith(str(root.folder))) == (0, True), said
    assert image(STAGES, "gateway").env["PYTHONSAFEPATH"] == "1"


def test_all_of_the_packages_is_installed(root: MappedRoot) -> None:
    """SQL, samples, descriptions: what stands beside the code is in the wheel too."""
    (installed,) = root.path("/opt/ringback").glob("lib/python*/site-packages")
    ours = [
        path.relative_to(CHECKOUT)
        for folder in ("ringback", "services", "migrations")
        for path in (CHECKOUT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    ]

    assert len(ours) > 300
    assert [path for path in ours if not (installed / path).is_file()] == []


def test_the_image_has_no_installer(root: MappedRoot) -> None:
    """What runs installs nothing."""
    assert list(root.path("/opt/ringback/bin").glob("pip*")) == []
    assert list(root.path("/opt/ringback").rglob("pip/__main__.py")) == []


def test_every_target_is_told_to_be_no_root() -> None:
    """By number, with a health check and an entry point of words, so that signals arrive."""
    for name in ("ringback", *SERVICES):
        told: Image = image(STAGES, name)
        user, group = told.user.split(":")
        assert int(user) > 0
        assert int(group) > 0
        assert told.entrypoint[0].startswith("/opt/ringback/bin/")
        assert bool(told.health) == (name in SERVICES)
        assert told.labels["org.opencontainers.image.title"].startswith("ringback")
