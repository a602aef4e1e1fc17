"""The local web page, `dfl-tf web`: what DeepFaceLab shows in windows, in a browser.

It reads what trainings write and asks them by request files, so it starts and stops at any time.
Nothing imports this room but `cli.web`. Starlette and uvicorn are the extra ``[web]``.

How a view is added:

1. A module in `web.views` with ``VIEW = View(NAME, TITLE, routes)``. `routes(context)` returns
   Starlette routes; they lie below ``api/NAME/``. A handler is an ordinary function, which
   Starlette runs in a thread (an ``async`` one must not block). It returns `answers.json_answer` or
   `answers.file_answer`, raises `answers.WebError` (or any `DflTfError`) for what is refused, and
   reads what was sent by `answers.sent(request, schema)`. A path never comes from a request: hand
   out `context.id_of(…)` and find the item of an id in a new listing; open files by
   `context.inside(path)`. Writes are POST; they are refused before they reach a handler where
   the server is read-only or the page is not our own.
2. Its line in `web.views.VIEWS`.
3. An ES module ``static/views/NAME.js`` whose default export is a class that extends ``View``
   (``static/view.js``); ``export const styles`` names its style sheets, or is ``true`` where it
   has one of its own name. ``page.element`` is its element, ``page.api(path)`` is the
   address of a route, ``page.get(path)`` and ``page.post(path, body)`` speak JSON,
   ``page.on(topic, call)`` listens to the event stream, ``page.rest`` is what follows the name in
   the address. Text goes into ``textContent``, never into markup; there is no inline script and
   no inline style.
4. What happens outside of requests is reported by `context.events.publish(topic, values)`, from any
   thread: each browser has one stream of events, which its tabs share.
"""
