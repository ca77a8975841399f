"""The datasets that ImageServ ships, each behind the same door as a stranger's."""
