"""From files to tokens: what formats there are, where documents and sentences begin, the token cache."""
