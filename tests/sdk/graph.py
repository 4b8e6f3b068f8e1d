"""Meta's own library against the stand-in of Facebook and Instagram.

usage: graph.py GRAPH CONTROL DEMO SECRET

GRAPH is the stand-in's address with its version, CONTROL that of its control API, DEMO the folder with a picture
and a film, SECRET the app's, with which the library proves each call. Every check prints a line; the last line says
how many there were. What the library cannot be told to do against another address is in README.md.
"""

import contextlib
import functools
import http.server
import io
import json
import os
import sys
import tempfile
import threading
import time
import urllib.request

from facebook_business import video_uploader
from facebook_business.adobjects.advideo import AdVideo
from facebook_business.adobjects.igmedia import IGMedia
from facebook_business.adobjects.iguser import IGUser
from facebook_business.adobjects.page import Page
from facebook_business.adobjects.pagepost import PagePost
from facebook_business.adobjects.user import User
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

PAGE = "104000000000001"
INSTAGRAM = "17841400000000001"
TOKEN = "sandbox-page-token"
# Nothing here takes longer; what does is stuck.
PATIENCE = 30

checks = 0


def check(what, found, wanted=True):
    """Counts what holds, and ends with what does not."""
    global checks
    if found != wanted:
        sys.exit(f"{what}: found {found!r} where {wanted!r} should be")
    checks += 1
    print(f"ok: {what}")


def refused(what, call, **wanted):
    """The call must fail as the library's own error, with these of its properties."""
    try:
        call()
    except FacebookRequestError as error:
        found = {name: getattr(error, name)() for name in wanted}
        check(what, found, wanted)
        check(f"{what}: it has a message", bool(error.api_error_message()))
        return error
    sys.exit(f"{what}: it was not refused")


def until(what, look):
    """Asks until the answer is yes."""
    end = time.monotonic() + PATIENCE
    while not look():
        if time.monotonic() > end:
            sys.exit(f"{what}: waited in vain")
        time.sleep(0.05)
    check(what, True)


class Net:
    """The stand-in: the library's API for one token, its control, and media that it can fetch."""

    def __init__(self, graph, control, demo, secret):
        base, self.version = graph.rsplit("/", 1)
        FacebookSession.GRAPH = base
        self.control, self.demo, self.secret = control, demo, secret
        self.api = FacebookAdsApi(FacebookSession("sandbox-app", secret, TOKEN), self.version)
        FacebookAdsApi.set_default_api(self.api)

    def with_token(self, token):
        return FacebookAdsApi(FacebookSession("sandbox-app", self.secret, token), self.version)

    def tell(self, what, body):
        request = urllib.request.Request(f"{self.control}/{what}", json.dumps(body).encode())
        request.add_header("content-type", "application/json")
        urllib.request.urlopen(request).read()

    def file(self, name):
        return os.path.join(self.demo, name)

    @contextlib.contextmanager
    def media(self):
        """Serves the demo's files on loopback, and gives the address."""
        quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
        handler = functools.partial(quiet, directory=self.demo)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def posts(net):
    """Drafts and posts of a Page: made, read with fields, changed, made public, removed."""
    page = Page(PAGE)
    check("the Page says its name", page.api_get(fields=["id", "name"])["name"], "Corner Bakery")
    linked = page.api_get(fields=["instagram_business_account"])["instagram_business_account"]
    check("and its Instagram account", linked["id"], INSTAGRAM)

    draft = page.create_feed(params={"message": "by Meta's library", "published": False})
    post = PagePost(draft["id"])
    check("a draft is not public", post.api_get(fields=["is_published"])["is_published"], False)
    post.api_update(params={"message": "by Meta's own library"})
    post.api_update(params={"is_published": True})
    read = post.api_get(fields=["message", "is_published", "permalink_url", "created_time"])
    check("it is public once it is told to be", read["is_published"])
    check("with its words", read["message"], "by Meta's own library")
    check("with an address", read["permalink_url"].startswith("http"))
    check("times are written as Graph writes them", read["created_time"].endswith("+0000"))

    named = {each["id"] for each in page.get_published_posts(fields=["id"])}
    check("it is listed", draft["id"] in named)
    post.api_delete()
    named = {each["id"] for each in page.get_published_posts(fields=["id"])}
    check("and is not, once it is removed", draft["id"] not in named)


def comments(net):
    """Comments on a post, where the stand-in has them."""
    post = PagePost(Page(PAGE).create_feed(params={"message": "to be talked about"})["id"])
    try:
        made = post.create_comment(params={"message": "the first"})
    except FacebookRequestError as error:
        if (error.api_error_code(), error.api_error_subcode()) != (100, 33):
            raise
        print("left out: comments, for the stand-in has none")
        return
    found = {each["id"]: each.get("message") for each in post.get_comments(fields=["message"])}
    check("a comment is listed", found, {made["id"]: "the first"})


def photos(net):
    """Pictures by file and by address, an album, a story."""
    page = Page(PAGE)
    one = page.create_photo(params={"published": False}, pending=True)
    one = one.add_file(net.file("bread.jpg")).execute()
    with net.media() as media:
        other = page.create_photo(params={"url": f"{media}/cake.jpg", "published": False})
    attached = [{"media_fbid": photo["id"]} for photo in (one, other)]
    album = page.create_feed(params={"message": "an album", "attached_media": attached})
    read = PagePost(album["id"]).api_get(fields=["attachments"])["attachments"]["data"][0]
    check("an album has its pictures", len(read["subattachments"]["data"]), 2)
    check("and is one", read["media_type"], "album")

    public = page.create_photo(params={"caption": "a picture"}, pending=True)
    public = public.add_file(net.file("coffee.jpg")).execute()
    check("a picture that is public at once names its post", public["post_id"].startswith(PAGE))

    told = page.create_photo(params={"published": False}, pending=True)
    told = told.add_file(net.file("shop.jpg")).execute()
    story = page.create_photo_story(params={"photo_id": told["id"]})
    stories = {each["post_id"]: each for each in page.get_stories()}
    check("a story is listed", stories[story["post_id"]]["media_type"], "photo")


class Elsewhere(video_uploader.VideoUploadRequest):
    """The library sends films of advertisers to a host of its own; these are a Page's, and go where all goes."""

    def send(self, path):
        page, _ = path
        return self._api.call("POST", (page, "videos"), params=self._params, files=self._files)


class Astray(Elsewhere):
    """The same, and once it sends a part that does not follow."""

    strayed = False

    def setParams(self, params, files=None):
        if params.get("upload_phase") == "transfer" and not Astray.strayed:
            Astray.strayed = True
            params = {**params, "start_offset": params["start_offset"] + 1}
        super().setParams(params, files)


def films(net):
    """Films in one call and in parts, as the library itself cuts and resumes them."""
    page = Page(PAGE)
    whole = page.create_video(params={"description": "a film"}, pending=True)
    whole = whole.add_file(net.file("oven.mp4")).execute()
    until("a film is public once it is processed", lambda: AdVideo(whole["id"]).api_get(fields=["published"])["published"])

    with tempfile.TemporaryDirectory() as folder:
        # Larger than one part: free space stands after the film, for which its format has a box.
        large = os.path.join(folder, "large.mp4")
        with open(net.file("oven.mp4"), "rb") as film, open(large, "wb") as made:
            size = 20 << 20
            made.write(film.read() + size.to_bytes(4, "big") + b"free" + bytes(size - 8))
        for request in (Elsewhere, Astray):
            video_uploader.VideoUploadRequest = request
            film = AdVideo(parent_id=PAGE, api=net.api)
            film[AdVideo.Field.filepath] = large
            sent = video_uploader.VideoUploader().upload(film)
            until(f"a film in parts is public ({request.__name__})",
                  lambda: AdVideo(sent["id"]).api_get(fields=["published"])["published"])
    check("a part that did not follow was sent again from where it was wanted", Astray.strayed)
    video_uploader.VideoEncodingStatusChecker.waitUntilReady(net.api, sent["id"], 0.1, PATIENCE)
    check("the library finds it ready", True)


def containers(net):
    """Containers of Instagram: a picture, a film, a carousel, a story, and what becomes of them."""
    user = IGUser(INSTAGRAM)
    check("the account says its name", user.api_get(fields=["username"])["username"], "corner.bakery")

    def code(container):
        return net.api.call("GET", (container,), params={"fields": "status_code,status"}).json()["status_code"]

    def finished(what, container):
        until(f"{what} is finished", lambda: code(container["id"]) == "FINISHED")

    def publish(what, container):
        finished(what, container)
        media = user.create_media_publish(params={"creation_id": container["id"]})
        check(f"{what} is published", code(container["id"]), "PUBLISHED")
        return IGMedia(media["id"]).api_get(fields=["media_type", "media_product_type", "permalink", "timestamp"])

    with net.media() as media:
        for n in range(3):
            picture = user.create_media(params={"image_url": f"{media}/bread.jpg", "caption": f"picture {n}"})
            seen = publish(f"picture {n}", picture)
        check("a picture is one", (seen["media_type"], seen["media_product_type"]), ("IMAGE", "FEED"))
        reel = user.create_media(params={"media_type": "REELS", "video_url": f"{media}/oven.mp4", "caption": "a reel"})
        seen = publish("a reel", reel)
        check("a reel is one", (seen["media_type"], seen["media_product_type"]), ("VIDEO", "REELS"))
        slides = [
            user.create_media(params={"image_url": f"{media}/{name}", "is_carousel_item": True})
            for name in ("bread.jpg", "cake.jpg")
        ]
        for slide in slides:
            finished("a slide", slide)
        carousel = user.create_media(params={"media_type": "CAROUSEL", "children": [slide["id"] for slide in slides]})
        check("a carousel is one", publish("a carousel", carousel)["media_type"], "CAROUSEL_ALBUM")
        story = user.create_media(params={"media_type": "STORIES", "image_url": f"{media}/shop.jpg"})
        publish("a story", story)
    check("a story is listed among the stories", len(list(user.get_stories(fields=["id"]))), 1)
    limit = list(user.get_content_publishing_limit(fields=["quota_usage", "config"]))[0]
    check("what was published counts", limit["quota_usage"], 6)
    check("and the limit is told", limit["config"]["quota_duration"], 86400)
    refused("a container is published once", lambda: user.create_media_publish(params={"creation_id": carousel["id"]}),
            api_error_code=100, http_status=400)


def paging(net):
    """Lists come in pages, and the library finds its way through them."""
    user, page = IGUser(INSTAGRAM), Page(PAGE)
    captions = [each.get("caption") for each in user.get_media(fields=["caption"], params={"limit": 2})]
    check("every media comes once, the newest first", captions, [None, "a reel", "picture 2", "picture 1", "picture 0"])
    for n in range(5):
        page.create_feed(params={"message": f"page {n}"})
    found = page.get_feed(fields=["message"], params={"limit": 3})
    check("a page holds as many as were asked for", len(found), 3)
    words = [each.get("message") for each in found]
    check("and the others follow", words[:5], [f"page {n}" for n in (4, 3, 2, 1, 0)])
    # The address of the next page must do by itself, as Graph's does.
    first = net.api.call("GET", (PAGE, "feed"), params={"limit": 2, "fields": "message"}).json()
    following = urllib.request.urlopen(first["paging"]["next"]).read()
    words = [each["message"] for each in json.loads(following)["data"]]
    check("the address of the next page does by itself", words, ["page 2", "page 1"])


def errors(net):
    """What goes wrong becomes the library's error, with its code, subcode, type and whether to try again."""
    page = Page(PAGE)
    absent = f"{PAGE}_1"
    unsupported = {"api_error_code": 100, "api_error_subcode": 33, "api_error_type": "GraphMethodException"}
    for what, call, word in [
        ("reading what is not there", lambda: PagePost(absent).api_get(fields=["id"]), "get"),
        ("removing it", lambda: PagePost(absent).api_delete(), "delete"),
        ("changing it", lambda: PagePost(absent).api_update(params={"message": "x"}), "post"),
    ]:
        error = refused(what, call, http_status=400, api_transient_error=False, **unsupported)
        check(f"{what}: it says how", f"Unsupported {word} request" in error.api_error_message())
    refused("a field that is none", lambda: page.api_get(fields=["nonsense"]),
            http_status=400, api_error_code=100, api_error_type="OAuthException", api_error_subcode=None)
    refused("a post of nothing", lambda: page.create_feed(params={"message": ""}),
            http_status=400, api_error_code=100)
    refused("a wrong token", lambda: Page(PAGE, api=net.with_token("nobody's")).api_get(fields=["id"]),
            http_status=400, api_error_code=190, api_error_type="OAuthException")
    forged = FacebookAdsApi(FacebookSession("sandbox-app", "not the secret", TOKEN), net.version)
    refused("a wrong proof of the app", lambda: Page(PAGE, api=forged).api_get(fields=["id"]),
            http_status=400, api_error_code=100)
    feed = lambda: page.create_feed(params={"message": "that goes wrong"})
    for what, fault, wanted in [
        ("too many calls", {"graph": {"code": 4, "http": 400}}, {"api_error_code": 4}),
        ("spam", {"graph": {"code": 4, "subcode": 2207051, "http": 403}},
         {"api_error_code": 4, "api_error_subcode": 2207051, "http_status": 403}),
        ("a 500", "no_effect_then_500", {"http_status": 500, "api_error_code": 1, "api_transient_error": True}),
    ]:
        net.tell("faults", {"call": "feed", "times": 1, "fault": fault})
        refused(what, feed, **wanted)


def tokens(net):
    """Permissions are listed, and once they are given back the token is worth nothing."""
    other = "sdk-page-token"
    account = {"platform": "facebook_page", "external_id": "104000000000077", "name": "Mill", "access_token": other}
    net.tell("accounts", account)
    api = net.with_token(other)
    granted = [each["permission"] for each in User("me", api=api).get_permissions()]
    check("permissions are listed", "pages_manage_posts" in granted)
    User("me", api=api).delete_permissions()
    refused("a token that was given back", lambda: Page("104000000000077", api=api).api_get(fields=["id"]),
            http_status=400, api_error_code=190, api_error_subcode=458, api_error_type="OAuthException")


def main():
    net = Net(*sys.argv[1:])
    # The library warns of fields that it does not know; what counts is what it does.
    with contextlib.redirect_stderr(io.StringIO()):
        for part in (posts, comments, photos, films, containers, paging, errors, tokens):
            part(net)
    print(f"{checks} checks")


main()
