-- What is forgotten after its time is found without reading all of it.

CREATE INDEX sign_in_sources_by_time ON sign_in_sources (used);
