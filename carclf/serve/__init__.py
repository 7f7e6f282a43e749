"""The HTTP service: photos in, the answers of `predict` out, and a page for people.

    settings      what may be sent, how much at once, by whom
    heaps         memory that is given back after large photos
    refusals      requests that are not answered, and why: a status and a sentence
    structure     how the bytes of a photo are built; those that would keep a decoder busy for minutes are refused
    uploads       what a client sent, checked before anything is decoded
    bodies        the body of a request -> uploads; in memory, counted while it is read
    gate          how many photos and bytes are held at once; whoever is too many is told to come back
    metrics       what Prometheus reads
    rendering     masks and overlays of an answer as text in JSON
    batching      photos of parallel requests, answered together
    asking        one request: its photos checked, answered, combined, within its time
    schemas       the answers as OpenAPI describes them
    model_facts   what is told of the model: its heads, its limits, its report
    parameters    what stands behind the question mark, and complaints about it
    errors        refusals and mistakes of clients -> answers of one shape
    photo_routes  the route that answers photos
    model_routes  the routes that tell of the model
    page_files    the page for people
    docs_page     the description of the interface, for people
    api           all routes as one app, behind a key if there is one
    guarding      around all routes: limits, safe headers, clients that hang up
    access_log    around all routes: request ids, one line of JSON per request
    server        listening, and stopping without dropping anything

Importing this does nothing; FastAPI and uvicorn are imported by the modules that need them.
"""
