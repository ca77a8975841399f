"""``imageserv work``, with a hand that is fake."""

import sys
from pathlib import Path

from imageserv.vo import hand

hand.COMMAND = (sys.executable, str(Path(__file__).with_name("fake_hand.py")))

if __name__ == "__main__":
    from imageserv.vo.work import work

    work(Path(sys.argv[1]))
