import sys

from ringback.runtime.lifecycle import run
from services.metrics.wire import serve

if __name__ == "__main__":
    sys.exit(run(serve))
