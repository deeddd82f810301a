"""Takes longer to import than anybody waits: a server of workers on a very busy machine."""

import time

time.sleep(60)
