"""The examples document: XHTML with RDFa as DALI 1.1 section 2.3 has it, read by that section's rules alone."""

from typing import Any

from lxml import etree

from imageserv.vo.ivoa.examples import ServiceExample, examples_document

VOCABULARY = "http://www.ivoa.net/rdf/examples#"
TERMS = {"name", "capability", "generic-parameter", "key", "value", "continuation", "dl-id", "table"}


def text(element: Any) -> str:
    return "".join(element.itertext())


def read(content: bytes) -> list[tuple[str, str, dict[str, str]]]:
    """Return name, capability and parameters of each example."""
    root = etree.fromstring(content)
    assert root.tag == "{http://www.w3.org/1999/xhtml}html"
    (scope,) = [each for each in root.iter() if each.get("vocab") is not None]
    assert scope.get("vocab") == VOCABULARY
    examples = [each for each in root.iter() if each.get("typeof") == "example"]
    assert all(scope in each.iterancestors() for each in examples)
    ids = [each.get("id") for each in root.iter() if each.get("id") is not None]
    assert len(ids) == len(set(ids))
    found: list[tuple[str, str, dict[str, str]]] = []
    for example in examples:
        assert example.get("id") and example.get("resource") == f"#{example.get('id')}"
        properties = [each for each in example.iter() if each.get("property") is not None]
        assert {each.get("property") for each in properties} <= TERMS
        # An element whose text is the value has no href or src: they would be the value instead.
        assert not [each for each in properties if each.get("href") or each.get("src") or each.get("content")]
        (name,) = [each for each in properties if each.get("property") == "name"]
        (capability,) = [each for each in properties if each.get("property") == "capability"]
        assert len(name) == 0  # plain text
        parameters: dict[str, str] = {}
        for pair in properties:
            if pair.get("property") == "generic-parameter":
                assert pair.get("typeof") == "keyval"
                (key,) = [each for each in pair.iter() if each.get("property") == "key"]
                (value,) = [each for each in pair.iter() if each.get("property") == "value"]
                parameters[text(key)] = text(value)
        found.append((text(name), text(capability), parameters))
    return found


def test_each_example_really_works(archive: Any) -> None:
    response = archive.client.get("examples")
    assert response.headers["content-type"].partition(";")[0] == "application/xhtml+xml"
    capabilities = {
        each.get("standardID"): each.findtext("interface/accessURL")
        for each in etree.fromstring(archive.document("capabilities"))
    }
    examples = read(response.content)
    assert len(examples) == 12  # links, a cutout, a job and a search, for each of three datasets
    assert {capability for _, capability, _ in examples} == {
        "ivo://ivoa.net/std/DataLink#links-1.1",
        "ivo://ivoa.net/std/SODA#sync-1.0",
        "ivo://ivoa.net/std/SODA#async-1.0",
        "ivo://ivoa.net/std/SIA#query-2.0",
    }
    for _, capability, parameters in examples:
        if capability.endswith("async-1.0"):
            answer = archive.client.post(capabilities[capability], data=parameters)
            assert answer.status_code == 303
            assert archive.client.get(f"{answer.headers['location']}/phase").text == "QUEUED"
            continue
        answer = archive.client.get(capabilities[capability], params=parameters)
        assert (answer.status_code, len(answer.content) > 0) == (200, True), parameters
        if capability.endswith("links-1.1"):
            assert b"#this" in answer.content and b"NotFoundFault" not in answer.content
        elif capability.endswith("query-2.0"):
            assert b"<TR>" in answer.content
        else:
            assert answer.headers["content-type"] == "application/fits"
            assert len(answer.content) < 20_000  # a cheap one


def test_any_words_are_kept(archive: Any) -> None:
    example = ServiceExample('a < b & "c"', "ivo://s", "sync", {"ID": "ivo://a/b?<&>", "POS": "CIRCLE 1 2 3"})
    assert read(examples_document([example, example])) == [(example.title, "ivo://s", dict(example.parameters))] * 2
    assert read(examples_document([])) == []
