"""The service: a detector that scores what is sent to it, or laid into a folder."""
