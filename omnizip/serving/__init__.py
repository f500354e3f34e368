"""Answers over an API in OpenAI's form: what a request asks, what a reply says, and clips fetched from elsewhere. No server in here."""
