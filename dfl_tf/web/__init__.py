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
3. An ES module ``static/views/NAME.js`` with ``export default class extends View``
   (``static/view.js``): ``load()`` asks the server, ``build()`` returns the elements, ``shown()``
   follows, ``calls(event)`` are its keys and ``static keys`` what its Keys dialog says. With
   ``export const styles = true`` the page loads ``NAME.css`` as well. Its ``page``
   (``static/app.js``) speaks JSON by ``get(path)`` and ``post(path, body)``, has the address of a
   route by ``api(path)`` (a path of another view begins with ``/``), hears the event stream by
   ``on(topic, call)`` and calls after a while by ``later(key, milliseconds, call)``; all of it ends
   with the view. ``page.rest`` is what follows the name in the address. Elements are made by ``h``
   (``static/dom.js``): text is text, never markup; there is no inline script and no inline style.
   What may be asked again before it is answered goes through ``Newest`` (``static/server.js``),
   so that an answer that comes late is not shown over a newer one.
   Commands that are started from a view: ``Jobs`` and ``JobPanel`` (``static/jobs.js``,
   ``static/job.js``).
4. What happens outside of requests is reported by `context.events.publish(topic, values)`, from any
   thread: each browser has one stream of events, which its tabs share.
"""
