package route

import "strings"

// words are the words that make up fixed paths: what services, frameworks and protocols call their endpoints, and what
// people call the parts of a site. Words of what is sold, written about or stored are not among them: such are values.
var words = wordSet(`
about abuse accept access account accounts acl acme act action actions activate activation active activities activity actuator add address addresses admin
administration administrator agb agent agents ajax alarm alarms alert alerts alias aliases alive all allow amount analytics announcements api apis app apple
apply approve apps archive archives article articles ask asset assets assign assignments associate async at atom attach attachments attributes audit auth
authenticate authentication authorization authorize auto autocomplete autodiscover availability available avatar backup backups balance balances bank banner
base basic basket batch batches before beta billing bills block blocks blog blogs board boards body book booking bookings bookmarks books both bot bots branches
brands broadcast browse bucket buckets bug build builds bulk bundle bundles business by bytes cache calc calculate calendar calendars call callback calls campaigns
cancel capabilities captcha capture card cards careers cart carts catalog catalogs categories category cert certificates certs challenge change changelog changes
channel channels charge charges charts chat check checkout checks chunked clear click client clients close cloud cluster clusters code codes collect collection
collections command commands comment comments commit commits common community companies company compare complete completed completions compute conf config
configuration configurations confirm connect connection connections connector console consumers contact contacts content contents context contracts convert
cookie cookies copy core count countries country coupons create created credentials credits cron css csrf csv currencies currency current custom customer customers
daily dashboard dashboards data database databases date dates day days db de debug default define definitions delete deliveries delivery demo deny deploy deployments
describe destroy detail details dev developer developers device devices devtools diagnostics diff direct directory disable disabled discounts discover discovery
dispatch display dist dns do doc docs document documentation documents domain domains done down download downloads draft drafts duplicate dynamic echo edit editor
email emails embed employees empty enable encode end endpoint endpoints engine entities entries entry env environment environments error errors estimate event events
exchange exec execute exists exit expand experiments expire expired explore export exports external extra facts failed faq favicon favorites feature featured features
feed feedback feeds fetch field fields file files filter filters find finish first flags flow flows folder folders follow followers following fonts forbidden forgot
form forms forum forums forward friends from front frontend full function functions fund game games gateway generate get git global go grant graph graphiql graphql
graphs group groups grpc guest guide guides handler handshake has head header headers health healthcheck healthz heartbeat hello help hidden history home hook hooks
host hosts hotels hourly html http i18n icon icons id identity ids image images img import imports imprint impressum in inbox include includes incoming index info
ingest init input insert insights inspect install instance instances integration integrations internal inventory invitations invite invites invoice invoices is issue
issues item items java job jobs join journal js json jwks jwt keepalive key keys kill knowledge kontakt kpi label labels landing lang language languages last latest
layout lead leads leaderboard leave legal level levels lib library license licenses like likes limit limits line lines link links list listing listings lists live
livez load local locale locales location locations lock locked log logging login logo logout logs lookup mail main maintenance make manage management manager manifest
map maps mark market marketing markets match matches me measure media meeting meetings member members membership memberships memory menu menus merge message messages
meta metadata method methods metric metrics migrate migration migrations min mine mobile mock mode model models moderation module modules monitor monitoring month
monthly more move multi my name names namespace namespaces network networks new newest news newsletter next node nodes none not note notes notification notifications
notify now oauth oauth2 object objects of off offer offers office offline on online onboarding open openapi openid operations operators opinions opt option options or
order orders organization organizations orgs origin out outbox overview owner owners package packages page pages panel parse part partial partner partners parts
password passwords patch path pause pay payment payments payout payouts pending people performance period permission permissions person persons photo photos php phpinfo
phpmyadmin pickup pictures pin ping pipeline pipelines places plan plans platform play player players playlists plugin plugins policies policy poll polls popular
popup port portal portfolio position positions post posts preferences preview previous price prices pricing primary print priority privacy private probe process processes
product products profile profiles profiling program programs project projects promo promotions proof properties property provider providers provision proxy public
publish published pull purchase purchases push put query queue queues quick quit quota quotas quote quotes random range ranges rate rates rating ratings raw react read
readiness ready readyz receipt receipts receive recent recipes recommend recommendations record records recover redirect redirects redis reference refresh refund refunds
region regions register registration registry reject rel related release releases reload reminders remote remove rename render renew replace replay replicas reply report
reports repos repositories repository request requests reservations reserve reset resize resolve resource resources response rest restart restore result results resume
retry return returns reverse review reviews revisions revoke rewards right robots role roles rollback room rooms root route router routes rpc rss rule rules run runs s3
saml sale sales sample sandbox save saved scan schedule scheduler schedules schema schemas scim scope score scores screen script scripts sdk search seats secret secrets
section sections security seed select self sell seller sellers send sensors series server servers service services session sessions set setting settings setup share
shared shares shell shipment shipments shipping shop shops shortcuts show shutdown sign signature signin signout signup simple single sink site sitemap sites size sku
skus slack slots slow snapshot snapshots soap social socket sockets solutions sort source sources space spaces spec specs split spring sql sso staff stage standard star
start started state statement statements states static statistics stats status steps stock stop storage store stores stories story stream streaming streams stripe style
styles sub subject subjects submissions submit subscribe subscribers subscription subscriptions success suggest suggestions summary support survey surveys suspend swagger
swap switch sync system tables tag tags target targets task tasks tax taxes team teams telemetry template templates tenant tenants term terms test tests text theme
themes thread threads ticket tickets tiles time timeline times timeseries to todo todos toggle token tokens tool tools top topic topics total trace traces track
tracking tracks trades train training transaction transactions transfer transfers transit translate translations trash trend trending trends trigger triggers trips type
types ui unlock unread unsubscribe up update updates upgrade upload uploads uptime url urls usage use user userinfo users util utils validate validation validator value
values variants vendor vendors verification verify version versions via video videos view viewer views virtual visits volumes vote votes wait wallet wallets warehouse
warehouses watchlist weather web webapi webauthn webhook webhooks webmail websocket week weekly welcome well known widget widgets wiki wishlist with work worker workers
workflow workflows workspace workspaces wp write ws xml xmlrpc year yearly you your zone zones
acknowledge activated aggregate anon appointments backend between cgi bin config convert crossdomain datenschutz deleted deactivate devices document edition enroll
exact favourite favourites finance fleet geo geocode groupby hr humans intl introspect invalidate kiosk legacy lists logger manual mcp newsroom noop notfound oidc onhand
openid passkey passkeys password pdf  playground png pprof prod prom readme reconcile redeem reindex rerun roadmap rollup rum sbom scaffold sdk seo signed sms sprint
sse staging subtotal svg svn swagger telegram terraform threads touch txt uuid vault verified vitals vnc voice vue warmup xhr yaml zip xsrf
acs beats boaform cat ccm cilium consul cups dicom docker drupal ecp elastic elasticsearch etcd fhir ghost gitea github gitlab grafana harbor heap helm hnap1 indices
istio jaeger jenkins jira joomla jolokia k8s kafka keycloak kibana kubernetes laravel ldap loki magento mapi maven memcached minio mlflow mongo mysql nacos nats nginx
nifi nomad npm ntlm odata ollama otlp owa pods postgres presto prometheus pypi rails realms sap solr sonar spark tempo thanos tomcat traefik trino twirp typo3 vite
web web2py webdav wms wmts xwiki zabbix zipkin deployments secrets configmaps nodes mutations subgraph aws gcp azure
alle anmelden bestellung bestellungen hilfe impressum konto kunden kunde liste neu suche termine warenkorb panier recherche compte buscar carrito
`)

func wordSet(text string) map[string]struct{} {
	set := map[string]struct{}{}
	for word := range strings.FieldsSeq(text) {
		set[word] = struct{}{}
	}
	return set
}

// structured are plural words under which an interface lists its own parts rather than items: what follows is learnt.
var structured = wordSet(`
access actions address ajax alerts analytics apis apps assets aws basics business capabilities charts commands components css dashboards diagnostics details dns docs
features fonts forms functions graphs hooks https icons includes insights integrations js kubernetes libs limits logs methods metrics modules operations options
permissions plugins preferences process procedures providers reports resources rpcs rules schemas scripts services settings statics statistics stats status styles
tables tasks tests themes tools triggers utils views vitals webhooks widgets workers ws campus canvas focus corpus census nexus bus plus class cross express press
wireless progress success less pass glass grass mass boss loss miss kiss
`)

// collections are words in the singular whose items follow.
var collections = wordSet(`
account album archive article artist asset author blog board book brand by campaign card category channel city client collection comment company contact country course
customer device doc document employee entry event file folder forum game group hotel image img invoice issue item job key lang location media member message model movie
name news node note object order org organization page partner person photo pic picture place player playlist post product profile project property question recipe
region repo repository review room sensor seller shop site sku song space stock store story subject tag task team tenant term thread ticket topic track trip u user vehicle
vendor video warehouse wiki word workspace zone produkt produkte artikel kategorie kategorien kunde kunden produit
`)

// languages: ISO 639-1.
var languages = wordSet(`
aa ab af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he
hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd
ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty
ug uk ur uz ve vi vo wa wo xh yi yo za zh zu us gb
`)

// suffixes of files, by what they say.
var (
	pages  = wordSet("php asp aspx jsp jspx do action cgi pl html htm xhtml shtml phtml")
	assets = wordSet("css js mjs map png jpg jpeg gif svg ico webp avif woff woff2 ttf eot txt xml json webmanifest pdf zip gz csv mp3 mp4 webm wasm yaml yml md rss atom")
)

func in(set map[string]struct{}, word string) bool {
	_, found := set[word]
	return found
}
